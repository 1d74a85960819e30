"""A packing problem and a few GPUs go in; a packing onto them, or that there is none, comes out.

Every way is tried, the largest instances first; what was seen to lead nowhere is not tried again.
That ends soon where there are a dozen or two instances, and is given up where it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nosbuild.placement.packing import Counts, Problem

_NODES = 20_000
"""About a second."""
_PIECES = 200
"""More are not tried: each is a level of the search."""

_Rooms = tuple[tuple[int, int], ...]
"""Bytes and time left on each GPU."""


@dataclass(frozen=True)
class Searched:
    """What came of it."""

    counts: Counts | None = None
    is_impossible: bool = False
    """No packing onto these GPUs exists; False also where the search was given up."""


def search(problem: Problem, gpus: Sequence[int]) -> Searched:
    """Look for a packing onto these GPUs.

    Args:
        problem: what to pack.
        gpus: positions in ``problem.sizes``.
    """
    one = _Search(problem)
    if len(one.pieces) > _PIECES:
        return Searched()
    chosen = one.place(0, tuple((problem.sizes[gpu], problem.time) for gpu in gpus))
    if chosen is None:
        return Searched(is_impossible=one.nodes <= _NODES)
    counts: Counts = {}
    for piece, position in zip(one.pieces, chosen, strict=True):
        there = counts.setdefault(gpus[position], {})
        there[piece.name] = there.get(piece.name, 0) + 1
    return Searched(dict(sorted(counts.items())))


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.pieces = sorted(problem.pieces, key=lambda piece: (-piece.size, -piece.time))
        self.nodes = 0
        self.sizes_from, self.times_from = [0], [0]
        """Of a piece and all after it, together."""
        for piece in reversed(self.pieces):
            self.sizes_from.insert(0, self.sizes_from[0] + piece.size)
            self.times_from.insert(0, self.times_from[0] + piece.time)
        self.failed: set[tuple[int, _Rooms]] = set()

    def place(self, piece: int, rooms: _Rooms) -> list[int] | None:
        """The GPU, by its position, of this piece and of all after it; None for no way."""
        if piece == len(self.pieces):
            return []
        state = (piece, tuple(sorted(rooms)))
        if state in self.failed or self._is_hopeless(piece, rooms):
            return None
        self.nodes += 1
        one = self.pieces[piece]
        tried = set()
        for position, (size, time) in enumerate(rooms):
            if self.nodes > _NODES:
                return None
            if one.size > size or one.time > time or (size, time) in tried:
                continue
            tried.add((size, time))
            left = (size - one.size, time - one.time)
            rest = self.place(piece + 1, (*rooms[:position], left, *rooms[position + 1 :]))
            if rest is not None:
                return [position, *rest]
        if self.nodes <= _NODES:
            self.failed.add(state)
        return None

    def _is_hopeless(self, piece: int, rooms: _Rooms) -> bool:
        """Not even the bytes, or the time, of all that is left suffice together."""
        smallest = self.pieces[-1].size
        useful = [room for room in rooms if room[0] >= smallest]
        return (
            sum(size for size, _ in useful) < self.sizes_from[piece]
            or sum(time for _, time in useful) < self.times_from[piece]
        )
