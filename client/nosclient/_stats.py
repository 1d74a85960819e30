"""What one client counted of its own inferences: snapshots that can be printed and subtracted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

OK = "ok"
"""The outcome of an inference that was answered; any other is the name of its error."""
CANCELLED = "cancelled"
"""The outcome of one that was left before its end: a task, a stream, Ctrl-C."""

_Key = TypeVar("_Key", str, float)

PER_OCTAVE = 8
_LOWEST = 1e-6
BOUNDS = tuple(_LOWEST * 2 ** ((index + 1) / PER_OCTAVE) for index in range(32 * PER_OCTAVE))
"""Upper bounds of the buckets in seconds, each 9% above the one before: 1 microsecond to 1 hour."""


@dataclass(frozen=True)
class LatencyHistogram:
    """How long something took, in seconds; ``count``, ``sum``, ``min`` and ``max`` are exact."""

    count: int = 0
    sum: float = 0.0
    min: float = 0.0
    """0 where nothing was counted."""
    max: float = 0.0
    buckets: Mapping[float, int] = field(default_factory=dict)
    """Upper bound -> count, ascending, without those that are empty."""

    @property
    def mean(self) -> float:
        """Seconds; 0 where nothing was counted."""
        return self.sum / self.count if self.count else 0.0

    @property
    def p50(self) -> float:
        """The median."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """Seconds within which 95 of 100 were done."""
        return self.percentile(95)

    @property
    def p99(self) -> float:
        """Seconds within which 99 of 100 were done."""
        return self.percentile(99)

    def percentile(self, percent: float) -> float:
        """An estimate, at most 5% off: the middle of the bucket that holds that percentile.

        Args:
            percent: 0 to 100.
        """
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bound, count in self.buckets.items():
            seen += count
            if seen >= rank:
                middle = bound * 2 ** (-0.5 / PER_OCTAVE)
                return min(max(middle, self.min), self.max)
        return 0.0

    def __sub__(self, earlier: LatencyHistogram) -> LatencyHistogram:
        """What came since ``earlier``; its min and max are bounds, of their buckets."""
        buckets = _difference(self.buckets, earlier.buckets)
        if not buckets:
            return LatencyHistogram()
        bounds = list(buckets)
        lowest, highest = bounds[0] * 2 ** (-1 / PER_OCTAVE), bounds[-1]
        return LatencyHistogram(
            self.count - earlier.count,
            self.sum - earlier.sum,
            max(lowest, self.min),
            min(highest, self.max),
            buckets,
        )

    def __str__(self) -> str:
        if not self.count:
            return "none"
        shown = (("p50", self.p50), ("p95", self.p95), ("p99", self.p99), ("max", self.max))
        return ", ".join(f"{name} {_milliseconds(seconds)}" for name, seconds in shown)


@dataclass(frozen=True)
class ModelCalls:
    """Inferences of one model: ``run``, the requests of sequences, and streams."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    """``"ok"``, ``"cancelled"`` or the error's class, such as ``"InvalidInput"`` -> count."""
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    """Of those that ended well, from the call to the answer, or to a stream's last chunk."""
    chunks: int = 0
    """Of streams, those still open too."""
    first_chunk: LatencyHistogram = field(default_factory=LatencyHistogram)
    """From the call to a stream's first chunk."""
    run_twice: int = 0
    """Requests that the server ran once more, since an output had outgrown its shared memory."""

    @property
    def count(self) -> int:
        """All that have ended, however."""
        return sum(self.outcomes.values())

    def __sub__(self, earlier: ModelCalls) -> ModelCalls:
        """What came since ``earlier``."""
        return ModelCalls(
            _difference(self.outcomes, earlier.outcomes),
            self.latency - earlier.latency,
            self.chunks - earlier.chunks,
            self.first_chunk - earlier.first_chunk,
            self.run_twice - earlier.run_twice,
        )

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())
        parts = [ended or "none has ended"]
        if self.latency.count:
            parts.append(str(self.latency))
        if self.chunks:
            parts.append(f"chunks: {self.chunks}, the first after {self.first_chunk}")
        if self.run_twice:
            parts.append(f"{self.run_twice} run twice")
        return "; ".join(parts)


@dataclass(frozen=True)
class Traffic:
    """Bytes of tensors, without what the protocols add to them."""

    sent: int = 0
    received: int = 0

    def __sub__(self, earlier: Traffic) -> Traffic:
        """What came since ``earlier``."""
        return Traffic(self.sent - earlier.sent, self.received - earlier.received)

    def __str__(self) -> str:
        return f"{_size(self.sent)} sent, {_size(self.received)} received"


@dataclass(frozen=True)
class ClientStats:
    """What a client counted since it was made; ``later - earlier`` is what came between."""

    models: Mapping[str, ModelCalls] = field(default_factory=dict)
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """How tensors travelled, ``"wire"`` or a kind of shared memory -> bytes."""

    def __sub__(self, earlier: ClientStats) -> ClientStats:
        """What came since ``earlier``; models that were not asked since are left out."""
        nothing = ModelCalls()
        models = {
            name: calls - earlier.models.get(name, nothing)
            for name, calls in self.models.items()
            if calls != earlier.models.get(name)
        }
        traffic = {
            kind: entry - earlier.traffic.get(kind, Traffic())
            for kind, entry in self.traffic.items()
            if entry != earlier.traffic.get(kind)
        }
        return ClientStats(models, traffic)

    def __str__(self) -> str:
        """A line for each model, then one for each way that tensors travelled."""
        rows: list[tuple[str, ModelCalls | Traffic]] = [*self.models.items(), *self.traffic.items()]
        return "\n".join(_lines(rows)) or "nothing was asked"


def _lines(rows: list[tuple[str, ModelCalls | Traffic]]) -> Iterable[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return (f"{name:<{width}}  {entry}" for name, entry in rows)


def _difference(later: Mapping[_Key, int], earlier: Mapping[_Key, int]) -> dict[_Key, int]:
    changes = {key: count - earlier.get(key, 0) for key, count in later.items()}
    return {key: change for key, change in changes.items() if change}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
