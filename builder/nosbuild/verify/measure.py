"""A proven artifact and golden samples go in; its speed, and how many instances suit, come out.

All candidates are measured in turns (A B A B), so that a drifting machine favours none; figures
are medians over the turns and mean something only beside each other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ConfigDict

from nosbuild.verify.runners import OnnxRuntimeRunner
from nosbuild.verify.samples import batches

if TYPE_CHECKING:
    import numpy as np

    from nosbuild.plan import Placement

TURNS = 5
"""How often each candidate has its turn."""
TURN_SECONDS = 0.25
"""Least duration of a turn."""
WITHIN_NOISE = 0.05
"""Relative difference of throughput that does not count."""
COPY = 3
"""Memory of one session, in sizes of its file: the weights, their packed form, and room to work."""
OVERLAP = 2
"""Instances that a server wants at least, all else equal: while one hands its batch over, the other
computes. More would only hold more copies of the weights."""


class Latency(BaseModel):
    """One batch size, one session with all threads."""

    model_config = ConfigDict(frozen=True)
    batch: int
    median_ms: float
    p99_ms: float

    @property
    def items_per_second(self) -> float:
        """Throughput of one session that does nothing else."""
        return 1000 * self.batch / self.median_ms


class Throughput(BaseModel):
    """Instances x threads, all busy at once."""

    model_config = ConfigDict(frozen=True)
    instances: int
    threads: int
    batch: int
    items_per_second: float
    p99_ms: float


class Ratio(BaseModel):
    """Throughput of a variant over that of another, from paired turns of one run."""

    model_config = ConfigDict(frozen=True)
    value: float
    """Median over the rounds."""
    low: float
    high: float
    """Confidence interval of the median, from its order statistics."""
    confidence: float
    """Of that interval: at least 0.9 with five rounds or more."""
    rounds: int


class Measurement(BaseModel):
    """How fast a variant is here, and the instances chosen for it."""

    model_config = ConfigDict(frozen=True)
    latencies: tuple[Latency, ...]
    """By batch size, ascending; one session with all threads."""
    throughputs: tuple[Throughput, ...]
    """By placement, at the typical batch."""
    instances: int
    threads: int
    """The placement chosen: one of ``throughputs``."""
    why: str
    over_baseline: Ratio | None = None
    """Best throughput over that of onnx-fp32, measured in turns with it; None for itself."""

    @property
    def chosen(self) -> Throughput:
        """The row of the placement chosen."""
        return next(
            row
            for row in self.throughputs
            if (row.instances, row.threads) == (self.instances, self.threads)
        )


def measure(
    artifact: Path,
    items: Sequence[dict[str, np.ndarray]],
    batch_sizes: Sequence[int],
    typical: int,
    placements: Sequence[Placement],
    objective: str,
    p99_ms: float | None,
    *,
    batched: bool,
) -> Measurement:
    """Measure latency by batch size and throughput by placement, then choose a placement.

    Args:
        artifact: the ONNX file.
        items: real samples, without the batch axis where ``batched``.
        batch_sizes: whose latency is measured.
        typical: the one of them whose throughput is measured.
        placements: instances x threads to choose from.
        objective: ``throughput`` or ``latency``.
        p99_ms: upper limit on p99 at the typical batch, for ``throughput``; None for no limit.
    """
    placements = affordable(artifact, placements)
    inputs = {size: _inputs(items, size, batched) for size in batch_sizes}
    latencies = _latencies(artifact, inputs, max(p.instances * p.threads for p in placements))
    throughputs = _throughputs(artifact, inputs[typical], typical, placements)
    chosen, why = _choose(throughputs, objective, p99_ms)
    return Measurement(
        latencies=tuple(latencies),
        throughputs=tuple(throughputs),
        instances=chosen.instances,
        threads=chosen.threads,
        why=why,
    )


def affordable(artifact: Path, placements: Sequence[Placement]) -> list[Placement]:
    """Those whose copies of the weights fit into half of the free memory; the smallest always.

    All placements are open at once, which makes twice the largest where they are powers of two.
    """
    size = sum(file.stat().st_size for file in artifact.parent.glob("model.*"))
    most = psutil.virtual_memory().available / 2 / max(1, 2 * COPY * size)
    ordered = sorted(placements, key=lambda placement: placement.instances)
    return [ordered[0], *(p for p in ordered[1:] if p.instances <= most)]


def _inputs(
    items: Sequence[dict[str, np.ndarray]], size: int, batched: bool
) -> dict[str, np.ndarray]:
    if not batched:
        return items[0]
    return next(batches(items, size, every_shape=False)).inputs


def _latencies(
    artifact: Path, inputs: dict[int, dict[str, np.ndarray]], threads: int
) -> list[Latency]:
    runner = OnnxRuntimeRunner(artifact, threads=threads)
    times: dict[int, list[float]] = {size: [] for size in inputs}
    for array in inputs.values():
        runner.run(array)  # the first run of a shape allocates
    for _ in range(TURNS):
        for size, array in inputs.items():
            times[size] += _timed(partial(runner.run, array))
    return [
        Latency(batch=size, median_ms=1000 * statistics.median(t), p99_ms=1000 * _p99(t))
        for size, t in times.items()
    ]


def _throughputs(
    artifact: Path, inputs: dict[str, np.ndarray], batch: int, placements: Sequence[Placement]
) -> list[Throughput]:
    sessions = {
        placement: [
            OnnxRuntimeRunner(
                artifact, threads=placement.threads, spinning=placement.instances == 1
            )
            for _ in range(placement.instances)
        ]
        for placement in placements
    }
    rates: dict[Placement, list[float]] = {placement: [] for placement in placements}
    times: dict[Placement, list[float]] = {placement: [] for placement in placements}
    for runners in sessions.values():
        for runner in runners:
            runner.run(inputs)
    for _ in range(TURNS):
        for placement, runners in sessions.items():
            rate, taken = _busy(runners, inputs, batch)
            rates[placement].append(rate)
            times[placement] += taken
    return [
        Throughput(
            instances=placement.instances,
            threads=placement.threads,
            batch=batch,
            items_per_second=statistics.median(rates[placement]),
            p99_ms=1000 * _p99(times[placement]),
        )
        for placement in placements
    ]


def _busy(
    runners: Sequence[OnnxRuntimeRunner], inputs: dict[str, np.ndarray], batch: int
) -> tuple[float, list[float]]:
    """All sessions at once for one turn: items per second, and the time of every run."""
    with ThreadPoolExecutor(len(runners)) as pool:
        start = time.perf_counter()
        futures = [pool.submit(_timed, partial(runner.run, inputs)) for runner in runners]
        times = [taken for future in futures for taken in future.result()]
        elapsed = time.perf_counter() - start
    return batch * len(times) / elapsed, times


def _timed(run: Callable[[], object]) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + TURN_SECONDS
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def _p99(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def _choose(
    rows: Sequence[Throughput], objective: str, p99_ms: float | None
) -> tuple[Throughput, str]:
    if objective == "latency":
        fastest = min(rows, key=lambda row: row.p99_ms)
        return fastest, f"lowest p99 of {len(rows)} placements ({fastest.p99_ms:.1f} ms)"
    allowed = [row for row in rows if p99_ms is None or row.p99_ms <= p99_ms]
    if not allowed:
        fastest = min(rows, key=lambda row: row.p99_ms)
        return fastest, (
            f"no placement keeps p99 <= {p99_ms:g} ms at batch {fastest.batch}; "
            f"this one comes closest ({fastest.p99_ms:.1f} ms)"
        )
    best = max(row.items_per_second for row in allowed)
    close = [row for row in allowed if row.items_per_second >= best * (1 - WITHIN_NOISE)]
    overlapping = [row for row in close if row.instances >= OVERLAP]
    chosen = min(overlapping or close, key=lambda row: row.instances)
    return chosen, (
        f"{chosen.items_per_second:.0f} items/s with {chosen.instances} x {chosen.threads} "
        f"threads, best of {len(rows)} placements at batch {chosen.batch} (within noise)"
    )
