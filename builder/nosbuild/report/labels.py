"""Points with short texts go in; a place for each text, clear of the others, comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nosbuild.report.drawing import Point

CHARACTER = 7.2
"""Width of one, in drawing units, at the size the style sheet gives to labels."""
HEIGHT = 12.0
_DOT = 5.0
_DISTANCES = (9.0, 16.0, 24.0, 34.0, 46.0)
_DIRECTIONS = tuple(math.radians(degrees) for degrees in (-45, 45, -135, 135, -90, 90, 0, 180))
_LEADER_FROM = 12.0


@dataclass(frozen=True)
class Label:
    """Where a text stands, by the left end of its baseline."""

    left: Point
    leader: tuple[Point, Point] | None
    """From the point to the text, where it stands apart."""


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def outside(self, frame: _Box) -> bool:
        return not (
            frame.left <= self.left
            and self.right <= frame.right
            and frame.top <= self.top
            and self.bottom <= frame.bottom
        )


def place(points: Sequence[Point], texts: Sequence[str], frame: tuple[Point, Point]) -> list[Label]:
    """Each text near its point, in order: the first place that overlaps nothing, or the least.

    Args:
        points: where the dots are.
        texts: one a point.
        frame: top left and bottom right corner that texts stay within.
    """
    (left, top), (right, bottom) = frame
    inside = _Box(left, top, right, bottom)
    taken = [_Box(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
    labels = []
    for point, text in zip(points, texts, strict=True):
        box, distance = min(
            _candidates(point, CHARACTER * len(text)),
            key=lambda candidate: (
                candidate[0].outside(inside),
                sum(candidate[0].overlap(other) for other in taken),
                candidate[1],
            ),
        )
        taken.append(box)
        middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        far = distance > _LEADER_FROM
        labels.append(Label((box.left, box.bottom - 2), (point, middle) if far else None))
    return labels


def _candidates(point: Point, width: float) -> list[tuple[_Box, float]]:
    found = []
    for distance in _DISTANCES:
        for angle in _DIRECTIONS:
            x = point[0] + math.cos(angle) * (distance + width / 2)
            y = point[1] + math.sin(angle) * (distance + HEIGHT / 4)
            box = _Box(x - width / 2, y - HEIGHT / 2, x + width / 2, y + HEIGHT / 2)
            found.append((box, distance))
    return found
