"""What is packed, and into what, as whole numbers: nothing here is ever rounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BILLION = 10**9
"""Parts of a GPU's time."""


@dataclass(frozen=True)
class Item:
    """Instances of one model: alike, and each may go to another GPU."""

    name: str
    count: int
    size: int
    """Bytes of one."""
    time: int = 0
    """What one takes of a GPU's time, in billionths."""


@dataclass(frozen=True)
class Problem:
    """Items, and the GPUs that they may go to."""

    items: tuple[Item, ...]
    sizes: tuple[int, ...]
    """Bytes that each GPU has for them."""
    time: int = BILLION
    """What of each GPU's time may be used, in billionths."""

    def largest(self, count: int) -> tuple[int, ...]:
        """The GPUs to use where ``count`` are to suffice: whatever fits into so many fits into
        the largest.
        """
        order = sorted(range(len(self.sizes)), key=lambda gpu: (-self.sizes[gpu], gpu))
        return tuple(order[:count])

    @property
    def pieces(self) -> Iterator[Item]:
        """Every instance by itself."""
        for item in self.items:
            yield from [Item(item.name, 1, item.size, item.time)] * item.count


Counts = dict[int, dict[str, int]]
"""GPU -> model -> instances of it there; GPUs that are not used do not stand there."""


def least_left(problem: Problem, counts: Counts) -> int:
    """Bytes left on the fullest of the GPUs in use: the more, the better balanced."""
    return min(
        (problem.sizes[gpu] - _used(problem, there) for gpu, there in counts.items()), default=0
    )


def in_order(problem: Problem, counts: Counts) -> Counts:
    """The same packing with the fuller first among GPUs alike."""
    found: Counts = {}
    for size in {problem.sizes[gpu] for gpu in counts}:
        alike = sorted(gpu for gpu in counts if problem.sizes[gpu] == size)
        fullest = sorted((counts[gpu] for gpu in alike), key=lambda there: -_used(problem, there))
        found |= dict(zip(alike, fullest, strict=True))
    return dict(sorted(found.items()))


def _used(problem: Problem, there: dict[str, int]) -> int:
    size = {item.name: item.size for item in problem.items}
    return sum(size[name] * count for name, count in there.items())
