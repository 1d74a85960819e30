"""A packing problem goes in; a number of GPUs below which nothing can fit comes out.

The bound is L2 of Martello and Toth (Knapsack Problems, 1990, section 8.3), for bytes and for time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from nosbuild.placement.packing import Problem


def at_least(problem: Problem) -> int:
    """GPUs that any packing needs; more than there are where nothing fits."""
    sizes = [piece.size for piece in problem.pieces]
    times = [piece.time for piece in problem.pieces]
    if not sizes:
        return 0
    largest = max(problem.sizes)
    if max(sizes) > largest or max(times) > problem.time:
        return len(problem.sizes) + 1
    return max(_by_sum(sizes, problem.sizes), _l2(sizes, largest), _l2(times, problem.time))


def _by_sum(sizes: Sequence[int], capacities: Sequence[int]) -> int:
    """The fewest of the largest GPUs that have so many bytes together."""
    total = sum(sizes)
    for count, together in enumerate(accumulate(sorted(capacities, reverse=True)), 1):
        if together >= total:
            return count
    return len(capacities) + 1


def _l2(sizes: Sequence[int], capacity: int) -> int:
    """Of bins alike.

    For each threshold: what is above ``capacity - threshold`` shares with nothing that reaches the
    threshold, what is above half shares with nothing that large; the rest must go to their gaps,
    or to more bins.
    """
    best = -(-sum(sizes) // capacity) if capacity else 0
    for threshold in {size for size in sizes if 0 < 2 * size <= capacity} | {0}:
        alone = sum(size > capacity - threshold for size in sizes)
        large = [size for size in sizes if size <= capacity - threshold and 2 * size > capacity]
        small = sum(size for size in sizes if threshold <= size and 2 * size <= capacity)
        beyond = small - (len(large) * capacity - sum(large))
        best = max(best, alone + len(large) + max(0, -(-beyond // capacity)))
    return best
