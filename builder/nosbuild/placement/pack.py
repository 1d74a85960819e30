"""A packing problem goes in; the fewest GPUs that were found, balanced, and what is proven of it
come out.
"""

from __future__ import annotations

from dataclasses import dataclass

from nosbuild.placement import cp_sat
from nosbuild.placement.decreasing import balanced, pack_into
from nosbuild.placement.lower_bound import at_least
from nosbuild.placement.packing import Counts, Problem, in_order, least_left
from nosbuild.placement.search import search

DECREASING = "best-fit decreasing, short search"
"""Without the solver."""


@dataclass(frozen=True)
class Packed:
    """What was found."""

    counts: Counts | None
    """None where no way was found to fit all."""
    at_least: int
    """GPUs that any packing needs; more than there are where it is proven that nothing fits."""
    by: str
    """What found it."""

    @property
    def is_proven(self) -> bool:
        """No packing takes fewer GPUs."""
        return self.counts is not None and len(self.counts) == self.at_least


def pack(problem: Problem, *, solver: bool = True) -> Packed:
    """Put all instances onto the fewest GPUs, and leave as much room as possible on the fullest.

    Args:
        problem: what to pack, and onto what.
        solver: let CP-SAT search where it is installed.
    """
    by = (cp_sat.solver_name() if solver else "") or DECREASING
    bound = at_least(problem)
    counts = _by_rules(problem, bound)
    counts, bound = _by_search(problem, counts, bound)
    proven = counts is not None and len(counts) == bound
    if by != DECREASING and not proven and bound <= len(problem.sizes):
        solved = cp_sat.fewest(problem, bound, counts)
        counts, bound = solved.counts, solved.at_least
    if not counts:
        return Packed(counts, bound, by)
    counts = balanced(problem, counts)
    if by != DECREASING and len(counts) > 1:
        better = cp_sat.most_room(problem, counts)
        if least_left(problem, better) > least_left(problem, counts):
            counts = better
    return Packed(in_order(problem, counts), bound, by)


def _by_rules(problem: Problem, bound: int) -> Counts | None:
    if not problem.items:
        return {}
    for count in range(bound, len(problem.sizes) + 1):
        if (counts := pack_into(problem, problem.largest(count))) is not None:
            return counts
    return None


def _by_search(problem: Problem, known: Counts | None, bound: int) -> tuple[Counts | None, int]:
    """Fewer GPUs, or a better bound, where a short search decides it."""
    fewer = range(bound, len(problem.sizes) + 1 if known is None else len(known))
    for count in fewer:
        searched = search(problem, problem.largest(count))
        if searched.counts is not None:
            return searched.counts, bound
        if not searched.is_impossible:
            return known, bound
        bound = count + 1
    return known, bound
