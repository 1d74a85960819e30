"""A range of values goes in; where each stands along an axis, and its ticks, come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_TICKS = 5
"""About how many an axis has room for on a phone."""
_ROOM = 0.06
"""Share of the axis left free beyond the outermost values."""


@dataclass(frozen=True)
class Scale:
    """Maps ``low..high`` to ``start..end`` in drawing units; linear or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        """Where the value stands; outside of the range, at its end."""
        low, value, high = (self._bent(v) for v in (self.low, value, self.high))
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[float]:
        """Round values within the range, ascending."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def linear(values: Iterable[float], start: float, end: float, *, zero: bool = True) -> Scale:
    """A scale that holds all values with some room, from 0 where ``zero``."""
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    if zero:
        low = min(0.0, low)
    room = _ROOM * (high - low or abs(high) or 1.0)
    return Scale(low if zero and low == 0 else low - room, high + room, start, end, log=False)


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale that holds all values, which are positive, with some room; at least a factor of 4."""
    found = [math.log10(value) for value in values] or [0.0]
    low, high = min(found), max(found)
    spread = max(high - low, math.log10(4))
    middle = (low + high) / 2
    reach = spread * (0.5 + _ROOM)
    return Scale(10 ** (middle - reach), 10 ** (middle + reach), start, end, log=True)


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / _TICKS))
    step *= next(
        (size for size in (1, 2, 5) if (high - low) / (step * size) <= _TICKS),
        10,
    )
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(count * step, 12) for count in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high / low)
    if decades > 3:
        every = math.ceil(decades / (_TICKS + 1))
        powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        return [10.0**power for power in powers if power % every == 0]
    first = math.floor(math.log10(low))
    ticks = [size * 10.0**power for power in range(first, first + 4) for size in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]
