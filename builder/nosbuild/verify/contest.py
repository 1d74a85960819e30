"""Proven variants and real samples go in; how fast each is here, and the best, come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import psutil
from pydantic import BaseModel, ConfigDict

from nosbuild.plan import Placement
from nosbuild.verify.choose import choose_placement, choose_variant, ratio
from nosbuild.verify.measure import Measurement
from nosbuild.verify.rounds import Busy, Latencies
from nosbuild.verify.samples import batches

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.verify.runner import Runner

LEAST_ROUNDS = 5
"""The fewest that give an interval of 90 % confidence."""
MOST_ROUNDS = 12
NARROW = 0.1
"""Rounds end when the interval of every variant that may be published is narrower than this share
of its ratio, at the most rounds, or when the time is over.
"""
MOST_SECONDS = 40.0
"""After the fewest rounds."""
COPY = 3
"""Memory of one session, in sizes of its file: the weights, their packed form, and room to work."""


class Open(Protocol):
    """Opens one session of a contestant."""

    def __call__(self, *, threads: int, spinning: bool) -> Runner:
        """A runner with that many threads."""
        ...


@dataclass(frozen=True)
class Contestant:
    """What is measured."""

    name: str
    open: Open
    size: int
    """Bytes of its files."""
    placements: tuple[Placement, ...]
    """Instances x threads to measure, at least one."""
    may_be_published: bool = True


class Contest(BaseModel):
    """What the rounds found."""

    model_config = ConfigDict(frozen=True)
    measurements: dict[str, Measurement]
    chosen: str
    """Name of the best that may be published."""
    why: str


@dataclass(frozen=True)
class Goal:
    """What the spec optimises for."""

    objective: str
    """``throughput`` or ``latency``."""
    p99_ms: float | None
    """Upper limit on p99 at the typical batch, for ``throughput``; None for no limit."""


def hold(
    contestants: Sequence[Contestant],
    items: Sequence[Arrays],
    batch_sizes: Sequence[int],
    typical: int,
    goal: Goal,
    *,
    batched: bool,
) -> Contest:
    """Measure latency by batch size and throughput by placement, all in turns; choose.

    Args:
        contestants: the baseline first, then from the most precise to the least.
        items: real samples, without the batch axis where ``batched``.
        batch_sizes: whose latency is measured.
        typical: the one of them whose throughput is measured.
        goal: what to choose by.
        batched: whether the tensors have a batch axis.
    """
    inputs = {size: _inputs(items, size, batched) for size in batch_sizes}
    contestants = affordable(contestants)
    keep = _all_fit(contestants)
    entrants = [_Entrant(one, inputs, typical, keep=keep) for one in contestants]
    end = time.monotonic() + MOST_SECONDS
    for count in range(1, MOST_ROUNDS + 1):
        for size in batch_sizes:
            for entrant in entrants:
                entrant.latency_turn(size)
        for position in range(max(len(one.placements) for one in contestants)):
            for entrant in entrants:
                entrant.busy_turn(position)
        if count >= LEAST_ROUNDS and (time.monotonic() > end or _settled(entrants, goal)):
            break
    baseline = entrants[0]
    measurements = {
        one.contestant.name: one.measurement(goal, None if one is baseline else baseline)
        for one in entrants
    }
    speeds = {
        one.contestant.name: one.speeds(goal) for one in entrants if one.contestant.may_be_published
    }
    chosen, why = choose_variant(
        speeds, measurements, goal.p99_ms if goal.objective == "throughput" else None
    )
    return Contest(measurements=measurements, chosen=chosen, why=why)


def affordable(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Only placements whose copies of the weights fit into half of the free memory; the smallest
    always.
    """
    free = psutil.virtual_memory().available / 2
    found = []
    for one in contestants:
        smallest, *more = sorted(one.placements, key=lambda placement: placement.instances)
        fitting = [p for p in more if 2 * COPY * one.size * p.instances <= free]
        found.append(replace(one, placements=(smallest, *fitting)))
    return found


def _all_fit(contestants: Sequence[Contestant]) -> bool:
    """Whether every session may stay open; otherwise each is opened for its turn."""
    sessions = sum(one.size * (1 + sum(p.instances for p in one.placements)) for one in contestants)
    return COPY * sessions <= psutil.virtual_memory().available / 2


class _Entrant:
    """A contestant and its figures."""

    def __init__(
        self, contestant: Contestant, inputs: dict[int, Arrays], typical: int, *, keep: bool
    ) -> None:
        self.contestant = contestant
        self.keep = keep
        self.latencies = Latencies(inputs)
        self.busy = [Busy(p, inputs[typical], typical) for p in contestant.placements]
        self._open: dict[Placement, list[Runner]] = {}

    def latency_turn(self, size: int) -> None:
        """One session with all threads."""
        threads = max(p.instances * p.threads for p in self.contestant.placements)
        (runner,) = self._sessions(Placement(1, threads))
        self.latencies.turn(runner, size)

    def busy_turn(self, position: int) -> None:
        """All sessions of one placement; nothing where there is no such."""
        if position < len(self.busy):
            busy = self.busy[position]
            busy.turn(self._sessions(busy.placement))

    def speeds(self, goal: Goal) -> list[float]:
        """What the goal counts, by round; more is better: items per second of the placement
        chosen, or batches of the smallest size per second.
        """
        if goal.objective == "latency":
            least = min(self.latencies.rounds)
            return [1 / seconds for seconds in self.latencies.rounds[least]]
        return self._chosen(goal)[0].rates

    def measurement(self, goal: Goal, baseline: _Entrant | None) -> Measurement:
        """The figures, with the ratio over the baseline."""
        chosen, why = self._chosen(goal)
        over = ratio(self.speeds(goal), baseline.speeds(goal)) if baseline else None
        return Measurement(
            latencies=self.latencies.rows(),
            throughputs=tuple(busy.row() for busy in self.busy),
            instances=chosen.placement.instances,
            threads=chosen.placement.threads,
            why=why,
            over_baseline=over,
        )

    def _chosen(self, goal: Goal) -> tuple[Busy, str]:
        rows = [busy.row() for busy in self.busy]
        row, why = choose_placement(rows, goal.objective, goal.p99_ms)
        return self.busy[rows.index(row)], why

    def _sessions(self, placement: Placement) -> list[Runner]:
        """Warm sessions: kept from turn to turn where memory allows, otherwise opened anew."""
        runners = self._open.get(placement)
        if runners is None:
            runners = [
                self.contestant.open(threads=placement.threads, spinning=placement.instances == 1)
                for _ in range(placement.instances)
            ]
            for runner in runners:
                for arrays in self.latencies.inputs.values():
                    runner.run(arrays)  # the first run of a shape allocates
        if self.keep:
            self._open[placement] = runners
        return runners


def _settled(entrants: Sequence[_Entrant], goal: Goal) -> bool:
    first, *others = (one.speeds(goal) for one in entrants if one.contestant.may_be_published)
    ratios = [ratio(speeds, first) for speeds in others]
    return all(found.high - found.low <= NARROW * found.value for found in ratios)


def _inputs(items: Sequence[Arrays], size: int, batched: bool) -> Arrays:
    if not batched:
        return items[0]
    return next(batches(items, size, every_shape=False)).inputs
