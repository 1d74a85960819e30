"""Inferences as they begin and end go in; a client's statistics come out.

What an inference costs is a line in a list, without a lock; they are added up some hundreds at a
time. One lock, held for the additions only.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._stats import (
    BOUNDS,
    OK,
    PER_OCTAVE,
    ClientStats,
    LatencyHistogram,
    ModelCalls,
    Traffic,
)

_TOP = len(BOUNDS) - 1
_STRINGS = np.dtype(object)  # there is one object of it
_log2 = math.log2
_AT_ONCE = 512
"""Inferences that are added up together."""
_OFFSET = PER_OCTAVE * math.log2(1e-6)


class _Histogram:
    __slots__ = ("buckets", "largest", "smallest", "sum")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.sum = 0.0
        self.smallest = math.inf
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        self.sum += seconds
        if seconds < self.smallest:
            self.smallest = seconds
        if seconds > self.largest:
            self.largest = seconds
        index = int(PER_OCTAVE * _log2(seconds) - _OFFSET) if seconds > 1e-6 else 0
        if index > _TOP:
            index = _TOP
        self.buckets[index] = self.buckets.get(index, 0) + 1

    def snapshot(self) -> LatencyHistogram:
        buckets = {BOUNDS[index]: count for index, count in sorted(self.buckets.items())}
        if not buckets:
            return LatencyHistogram()
        return LatencyHistogram(
            sum(buckets.values()), self.sum, self.smallest, self.largest, buckets
        )


class _Model:
    __slots__ = ("chunks", "failures", "first_chunk", "ok", "run_twice")

    def __init__(self) -> None:
        self.ok = _Histogram()
        self.failures: dict[str, int] = {}
        self.chunks = 0
        self.first_chunk = _Histogram()
        self.run_twice = 0

    def snapshot(self) -> ModelCalls:
        latency = self.ok.snapshot()
        answered = {OK: latency.count} if latency.count else {}
        first_chunk = self.first_chunk.snapshot()
        outcomes = {**answered, **self.failures}
        return ModelCalls(outcomes, latency, self.chunks, first_chunk, self.run_twice)


class Recorder:
    """The counters of one client; any thread may add to them."""

    def __init__(self) -> None:
        # Reentrant: what the garbage collector finds while it is held may be a forgotten stream.
        self._lock = threading.RLock()
        self._models: dict[str, _Model] = {}
        self._wire = [0, 0]
        self._traffic = {"wire": self._wire}
        self._over: deque[tuple[str, str, float, int, int]] = deque()
        self._is_adding = False

    def ended(self, model: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        """An inference that is over, and the bytes of it that travelled on the wire."""
        self._over.append((model, outcome, seconds, sent, received))
        if len(self._over) >= _AT_ONCE:
            self._add_up()

    def chunk(self, model: str, received: int, first_after: float | None) -> None:
        """One chunk of a stream; ``first_after`` seconds if it is the first."""
        with self._lock:
            entry = self._models.get(model) or self._entry(model)
            entry.chunks += 1
            if first_after is not None:
                entry.first_chunk.add(first_after)
            self._wire[1] += received

    def runs_again(self, model: str) -> None:
        """A request that the model has run is sent once more."""
        with self._lock:
            (self._models.get(model) or self._entry(model)).run_twice += 1

    def travelled(self, kind: str, sent: int, received: int) -> None:
        """Bytes of tensors by the way that they went: ``wire``, ``system``, ``cuda``."""
        with self._lock:
            traffic = self._traffic.get(kind)
            if traffic is None:
                traffic = self._traffic[kind] = [0, 0]
            traffic[0] += sent
            traffic[1] += received

    def snapshot(self) -> ClientStats:
        """All of it as it is now."""
        self._add_up()
        with self._lock:
            models = {name: entry.snapshot() for name, entry in self._models.items()}
            traffic = {kind: Traffic(*entry) for kind, entry in self._traffic.items() if any(entry)}
        return ClientStats(models, traffic)

    def _add_up(self) -> None:
        with self._lock:
            if self._is_adding:  # the garbage collector has come between: see the lock
                return
            self._is_adding = True
            try:
                while self._over:
                    self._add(*self._over.popleft())
            finally:
                self._is_adding = False

    def _add(self, model: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        entry = self._models.get(model) or self._entry(model)
        if outcome == OK:
            entry.ok.add(seconds)
        else:
            entry.failures[outcome] = entry.failures.get(outcome, 0) + 1
        self._wire[0] += sent
        self._wire[1] += received

    def _entry(self, model: str) -> _Model:
        return self._models.setdefault(model, _Model())


def array_bytes(array: npt.NDArray[Any]) -> int:
    """Bytes of a tensor as the protocols carry it: 4 for the length of each string.

    Strings count one by one: about 0.05 microseconds each.
    """
    if array.dtype is _STRINGS:
        return 4 * array.size + sum(map(len, array.flat))
    return array.nbytes
