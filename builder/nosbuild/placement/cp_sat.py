"""A packing problem goes in; the best packing there is, by OR-tools' CP-SAT, comes out.

The solver counts in whole numbers of 64 bits, so that bytes stay bytes. It is asked twice: how few
GPUs, then how much room can be left on the fullest of so many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nosbuild.errors import HostError
from nosbuild.placement.packing import Counts, Problem, in_order, least_left

EXTRA = "pip install 'nosbuild[plan]'"
_WORK_ON_COUNT, _WORK_ON_BALANCE = 5.0, 1.0
"""The solver's own measure, about a second each: the same problem ends the same way anywhere."""
_SECONDS = 60.0
"""Should a machine be very slow."""


@dataclass(frozen=True)
class Solved:
    """What the solver knows after a search."""

    counts: Counts | None
    """The best packing found; None for none."""
    at_least: int
    """GPUs below which it has ruled everything out."""


def solver_name() -> str:
    """``CP-SAT (OR-tools 9.15)``; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"CP-SAT (OR-tools {'.'.join(version('ortools').split('.')[:2])})"
    except PackageNotFoundError:
        return ""


def fewest(problem: Problem, at_least: int, known: Counts | None) -> Solved:
    """Search for fewer GPUs.

    Args:
        problem: what to pack.
        at_least: a bound that is known.
        known: a packing that is known; None for none.
    """
    most = len(known) if known is not None else len(problem.sizes)
    model = _Model(problem, problem.largest(most), known)
    model.model.add(sum(model.used) >= at_least)
    model.model.minimize(sum(model.used))
    solver, status = model.solve(_WORK_ON_COUNT)
    if status == "INFEASIBLE":
        return Solved(None, len(problem.sizes) + 1)
    bound = max(at_least, round(solver.best_objective_bound))
    if status in ("OPTIMAL", "FEASIBLE"):
        return Solved(model.counts(solver), bound)
    return Solved(known, bound)


def most_room(problem: Problem, counts: Counts) -> Counts:
    """The same number of GPUs, with the most bytes left on the fullest of them."""
    gpus = problem.largest(len(counts))
    known = counts if set(counts) == set(gpus) else None
    model = _Model(problem, gpus, known)
    least = least_left(problem, known) if known is not None else 0
    left = model.model.new_int_var(least, min(problem.sizes[gpu] for gpu in gpus), "left")
    for position, gpu in enumerate(gpus):
        model.model.add(model.used[position] == 1)
        model.model.add(model.sizes[position] + left <= problem.sizes[gpu])
    model.model.maximize(left)
    solver, status = model.solve(_WORK_ON_BALANCE)
    return model.counts(solver) if status in ("OPTIMAL", "FEASIBLE") else counts


def _cp_model() -> Any:
    try:
        from ortools.sat.python import cp_model
    except ImportError as exc:
        raise HostError(
            f"OR-tools is installed, but cannot be used: {exc}",
            f"Install it again ({EXTRA}), or remove it (pip uninstall ortools): a plan is found "
            "without it, too.",
        ) from exc
    return cp_model


class _Model:
    """Variables: instances of each model on each GPU, and whether a GPU is used."""

    def __init__(self, problem: Problem, gpus: tuple[int, ...], known: Counts | None) -> None:
        cp_model = _cp_model()
        self.problem = problem
        self.gpus = gpus
        self.model = cp_model.CpModel()
        self.used = [self.model.new_bool_var(f"used {gpu}") for gpu in gpus]
        self.counts_of: list[list[Any]] = [
            [self.model.new_int_var(0, item.count, f"{item.name} on {gpu}") for gpu in gpus]
            for item in problem.items
        ]
        for item, row in zip(problem.items, self.counts_of, strict=True):
            self.model.add(sum(row) == item.count)
        self.sizes = [self._sum("size", position) for position in range(len(gpus))]
        for position, gpu in enumerate(gpus):
            used = self.used[position]
            self.model.add(self.sizes[position] <= problem.sizes[gpu] * used)
            self.model.add(self._sum("time", position) <= problem.time * used)
            if position:
                self._in_order(position)
        if known is not None:
            self._hint(in_order(problem, known))

    def _sum(self, what: str, position: int) -> Any:
        return sum(
            getattr(item, what) * row[position]
            for item, row in zip(self.problem.items, self.counts_of, strict=True)
        )

    def _in_order(self, position: int) -> None:
        """Of GPUs alike the fuller stands first: the same packing is not looked at twice."""
        before, here = (self.problem.sizes[self.gpus[one]] for one in (position - 1, position))
        self.model.add(self.used[position - 1] >= self.used[position])
        if before == here:
            self.model.add(self.sizes[position - 1] >= self.sizes[position])

    def _hint(self, known: Counts) -> None:
        for item, row in zip(self.problem.items, self.counts_of, strict=True):
            for gpu, variable in zip(self.gpus, row, strict=True):
                self.model.add_hint(variable, known.get(gpu, {}).get(item.name, 0))

    def solve(self, work: float) -> tuple[Any, str]:
        solver = _cp_model().CpSolver()
        solver.parameters.num_workers = 1  # several race, and end another way each time
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = work
        solver.parameters.max_time_in_seconds = _SECONDS
        status = solver.solve(self.model)
        return solver, str(solver.status_name(status))

    def counts(self, solver: Any) -> Counts:
        found: Counts = {}
        for position, gpu in enumerate(self.gpus):
            there = {
                item.name: int(solver.value(row[position]))
                for item, row in zip(self.problem.items, self.counts_of, strict=True)
            }
            if there := {name: count for name, count in there.items() if count}:
                found[gpu] = there
        return dict(sorted(found.items()))
