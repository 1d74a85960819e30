"""A packing problem goes in; a packing by rules of thumb comes out, the largest instances first.

Several rules are tried, each in a fraction of a second, and the best result is kept:
first fit and best fit in decreasing order (Johnson, 1974), and filling one GPU after the other as
far as its room allows (minimum bin slack; Gupta and Ho, 1999), which is better where few instances
share a GPU. All GPUs are then lowered together as long as a packing is found, which balances them
(MULTIFIT; Coffman, Garey and Johnson, 1978).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from nosbuild.placement.packing import Counts, Item, Problem, least_left

_PARTS = 1000
"""Of a GPU, to which the balance is told apart."""
_NODES = 4000
"""Of the search for what fills one GPU best."""

_Rule = Callable[[list[int], list[tuple[int, int]]], int]
"""GPUs with room, and (bytes, time) left on each -> the one to take."""


def pack_into(problem: Problem, gpus: Sequence[int]) -> Counts | None:
    """Put all instances onto these GPUs; None where no rule finds a way, though there may be one.

    Args:
        problem: what to pack.
        gpus: positions in ``problem.sizes``, the largest first.
    """
    sizes = [problem.sizes[gpu] for gpu in gpus]
    found = _by_rules(problem, sizes) or _filled_in_turn(problem, sizes)
    return _counts(found, gpus) if found is not None else None


def balanced(problem: Problem, counts: Counts) -> Counts:
    """The same GPUs, with as much room left on the fullest as is found."""
    gpus = sorted(counts, key=lambda gpu: -problem.sizes[gpu])
    sizes = [problem.sizes[gpu] for gpu in gpus]
    best, low, high = counts, least_left(problem, counts), min(sizes)
    if (spread := _by_rules(problem, sizes, (_worst,))) is not None:
        candidate = _counts(spread, gpus)
        if least_left(problem, candidate) > low and len(candidate) == len(gpus):
            best, low = candidate, least_left(problem, candidate)
    while high - low > max(1, min(sizes) // _PARTS):
        kept = (low + high) // 2
        found = _by_rules(problem, [size - kept for size in sizes])
        if found is None:
            high = kept
        else:
            best = _counts(found, gpus)
            low = max(kept, least_left(problem, best))
    return best


def _by_rules(
    problem: Problem, sizes: Sequence[int], rules: Iterable[_Rule] = ()
) -> list[list[Item]] | None:
    for order in _orders(problem, max(sizes, default=0)):
        for rule in rules or (_first, _best):
            if (found := _placed(order, sizes, problem.time, rule)) is not None:
                return found
    return None


def _orders(problem: Problem, largest: int) -> list[list[Item]]:
    """Decreasing by what is the scarcer of bytes and time, by both, and by each."""
    capacity, time = max(largest, 1), max(problem.time, 1)
    keys: list[Callable[[Item], int]] = [lambda piece: piece.size]
    if any(item.time for item in problem.items):
        keys += [
            lambda piece: max(piece.size * time, piece.time * capacity),
            lambda piece: piece.size * time + piece.time * capacity,
            lambda piece: piece.time,
        ]
    pieces = list(problem.pieces)
    return [sorted(pieces, key=key, reverse=True) for key in keys]


def _placed(
    pieces: Iterable[Item], sizes: Sequence[int], time: int, rule: _Rule
) -> list[list[Item]] | None:
    left = [(size, time) for size in sizes]
    there: list[list[Item]] = [[] for _ in sizes]
    for piece in pieces:
        able = [
            gpu
            for gpu, (size, free) in enumerate(left)
            if piece.size <= size and piece.time <= free
        ]
        if not able:
            return None
        gpu = rule(able, left)
        there[gpu].append(piece)
        left[gpu] = (left[gpu][0] - piece.size, left[gpu][1] - piece.time)
    return there


def _first(able: list[int], left: list[tuple[int, int]]) -> int:
    return able[0]


def _best(able: list[int], left: list[tuple[int, int]]) -> int:
    return min(able, key=lambda gpu: left[gpu])


def _worst(able: list[int], left: list[tuple[int, int]]) -> int:
    return max(able, key=lambda gpu: left[gpu])


def _filled_in_turn(problem: Problem, sizes: Sequence[int]) -> list[list[Item]] | None:
    """Each GPU with its largest instance, and what fills the rest of it best."""
    kinds = sorted(problem.items, key=lambda item: (-item.size, -item.time))
    waiting = [item.count for item in kinds]
    there: list[list[Item]] = []
    for size in sizes:
        first = next((kind for kind, count in enumerate(waiting) if count), None)
        if first is None:
            there.append([])
            continue
        if kinds[first].size > size or kinds[first].time > problem.time:
            return None
        taken = _fullest(kinds, waiting, first, size, problem.time)
        there.append([kinds[kind] for kind, count in enumerate(taken) for _ in range(count)])
        waiting = [count - gone for count, gone in zip(waiting, taken, strict=True)]
    return None if any(waiting) else there


def _fullest(
    kinds: Sequence[Item], waiting: Sequence[int], first: int, size: int, time: int
) -> list[int]:
    """Instances of each kind, one of ``first`` among them, that leave the fewest bytes."""
    taken = [0] * len(kinds)
    taken[first] = 1
    best, least = list(taken), size - kinds[first].size
    nodes = 0

    def search(kind: int, size: int, time: int) -> None:
        nonlocal best, least, nodes
        nodes += 1
        if size < least:
            best, least = list(taken), size
        if kind == len(kinds) or not least or nodes > _NODES:
            return
        one = kinds[kind]
        most = waiting[kind] - taken[kind]
        if one.size:
            most = min(most, size // one.size)
        if one.time:
            most = min(most, time // one.time)
        before = taken[kind]
        for count in range(most, -1, -1):
            taken[kind] = before + count
            search(kind + 1, size - count * one.size, time - count * one.time)
        taken[kind] = before

    search(first, size - kinds[first].size, time - kinds[first].time)
    return best


def _counts(there: Sequence[Sequence[Item]], gpus: Sequence[int]) -> Counts:
    found = {
        gpu: dict(Counter(piece.name for piece in pieces))
        for gpu, pieces in zip(gpus, there, strict=True)
    }
    return {gpu: counts for gpu, counts in sorted(found.items()) if counts}
