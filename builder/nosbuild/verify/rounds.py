"""Runners go in; what each did in every round of turns (A B A B) comes out.

All are measured in turns, so that a drifting machine favours none: only what was measured in the
same round is compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from nosbuild.verify.measure import Latency, Throughput

if TYPE_CHECKING:
    from nosbuild.plan import Placement
    from nosbuild.source.loaded import Arrays
    from nosbuild.verify.runner import Runner

TURN_SECONDS = 0.05
"""Least duration of a turn with one session; at least one run is made."""
BUSY_SECONDS = 0.1
"""The same with several sessions at once: they start and end at different moments."""


class Latencies:
    """Times of one runner, by batch size."""

    def __init__(self, inputs: Mapping[int, Arrays]) -> None:
        self.inputs = inputs
        self.times: dict[int, list[float]] = {size: [] for size in inputs}
        self.rounds: dict[int, list[float]] = {size: [] for size in inputs}
        """Median seconds, by round."""

    def turn(self, runner: Runner, size: int) -> None:
        """Run one batch size for a turn."""
        taken = timed(partial(runner.run, self.inputs[size]), TURN_SECONDS)
        self.times[size] += taken
        self.rounds[size].append(statistics.median(taken))

    def rows(self) -> tuple[Latency, ...]:
        """What the turns found, ascending by batch size."""
        return tuple(
            Latency(batch=size, median_ms=1000 * statistics.median(t), p99_ms=1000 * p99(t))
            for size, t in sorted(self.times.items())
        )


class Busy:
    """Sessions of one placement, all busy at once on the same batch."""

    def __init__(self, placement: Placement, inputs: Arrays, batch: int) -> None:
        self.placement = placement
        self.inputs = inputs
        self.batch = batch
        self.times: list[float] = []
        self.rates: list[float] = []
        """Items per second, by round."""

    def turn(self, runners: Sequence[Runner]) -> None:
        """All sessions run until the turn is over."""
        start = time.perf_counter()
        run = partial(timed, seconds=BUSY_SECONDS)
        if len(runners) == 1:
            taken = run(partial(runners[0].run, self.inputs))
        else:
            with ThreadPoolExecutor(len(runners)) as pool:
                futures = [pool.submit(run, partial(one.run, self.inputs)) for one in runners]
                taken = [seconds for future in futures for seconds in future.result()]
        self.rates.append(self.batch * len(taken) / (time.perf_counter() - start))
        self.times += taken

    def row(self) -> Throughput:
        """What the turns found."""
        return Throughput(
            instances=self.placement.instances,
            threads=self.placement.threads,
            batch=self.batch,
            items_per_second=statistics.median(self.rates),
            p99_ms=1000 * p99(self.times),
        )


def timed(run: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of every run, until ``seconds`` are over; at least one."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def p99(times: Sequence[float]) -> float:
    """99th percentile: the least value that 99 % do not exceed."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
