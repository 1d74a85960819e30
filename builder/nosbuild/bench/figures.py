"""What the load processes saw goes in; rates and percentiles come out."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from nosbuild.bench.level import Level, Seen
from nosbuild.bench.result import Failed, Latencies, LevelResult, ServerSide

WINDOWS = 5


def level_result(
    level: Level,
    seen: Seen,
    seconds: float,
    batch: int,
    processes: int,
    server: ServerSide | None,
    notes: tuple[str, ...],
) -> LevelResult:
    """The figures of one load.

    The rate is that of the answers that came while requests were sent. In a closed loop this
    begins when the slowest caller has had its first answer: until then, there are none to count.
    """
    due, latency = np.array(seen.due), np.array(seen.latency)
    done = np.sort(due + latency)
    if seen.gone and len(done):
        seconds = float(done[-1])  # it was a server for so long
    first = 0.0 if level.is_open or not len(done) else _all_have_begun(level, done)
    if first > seconds / 2:  # few answers, far between: all of them, over all of the time
        first, until = 0.0, max(seconds, float(done[-1]))
    else:
        until = seconds
    edges = np.linspace(first, until, WINDOWS + 1)
    counts, _ = np.histogram(done[done > first] if first else done, edges)
    rate = float(counts.sum() / (until - first))
    return LevelResult(
        name=level.name,
        kind="open" if level.is_open else "closed",
        concurrency=level.concurrency,
        rate=level.rate,
        arrivals=level.arrivals if level.is_open else "",
        processes=processes,
        batch=batch,
        seconds=seconds,
        sent=len(done) + seen.failed,
        answered=len(done),
        unsent=seen.unsent,
        requests_per_second=rate,
        items_per_second=rate * batch,
        windows=tuple(float(count) * WINDOWS / (until - first) for count in counts),
        latency_ms=_latencies(seen.latency),
        departure_lag_ms=_latencies(seen.lag) if level.is_open else None,
        failed={
            kind: Failed(count=failed.count, example=failed.example)
            for kind, failed in sorted(seen.failures.items())
        },
        server=server,
        notes=notes,
    )


def _all_have_begun(level: Level, done: npt.NDArray[np.float64]) -> float:
    """When as many answers have come as there are callers; seconds after the beginning."""
    return float(done[min(level.concurrency, len(done)) - 1])


def _latencies(seconds: array[float]) -> Latencies | None:
    if not len(seconds):
        return None
    ms = 1000 * np.array(seconds)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(ms, (50, 90, 95, 99)))
    return Latencies(mean=float(ms.mean()), p50=p50, p90=p90, p95=p95, p99=p99, max=float(ms.max()))
