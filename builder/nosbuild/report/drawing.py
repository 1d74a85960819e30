"""Lines, dots and words go in; one accessible ``<svg>`` to stand in a page comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from nosbuild.report.printable import printable

Point = tuple[float, float]


class Drawing:
    """An SVG under construction. Looks come from the page's style sheet, by class."""

    def __init__(self, width: int, height: int, name: str, title: str, description: str) -> None:
        """Begin an empty one.

        Args:
            width: in drawing units; the page scales it.
            height: likewise.
            name: unique in the page, for ids.
            title: what it shows, for those who cannot see it.
            description: what can be seen in it, likewise.
        """
        self.root = ET.Element(
            "svg",
            {
                "viewBox": f"0 0 {width} {height}",
                "role": "img",
                "aria-labelledby": f"{name}-title {name}-desc",
            },
        )
        ET.SubElement(self.root, "title", {"id": f"{name}-title"}).text = printable(title)
        ET.SubElement(self.root, "desc", {"id": f"{name}-desc"}).text = printable(description)
        self._into = self.root

    def group(self, looks: str, title: str) -> None:
        """What follows belongs together, under one tooltip."""
        self._into = ET.SubElement(self.root, "g", {"class": looks})
        ET.SubElement(self._into, "title").text = printable(title)

    def end_group(self) -> None:
        """What follows stands alone again."""
        self._into = self.root

    def line(self, points: Sequence[Point], looks: str) -> None:
        """Straight from point to point."""
        joined = " ".join(f"{_at(x)},{_at(y)}" for x, y in points)
        ET.SubElement(self._into, "polyline", {"class": looks, "points": joined})

    def rectangle(self, corner: Point, opposite: Point, looks: str) -> None:
        """Between two corners, in any order."""
        (x, y), (u, v) = corner, opposite
        box = {"x": min(x, u), "y": min(y, v), "width": abs(u - x), "height": abs(v - y)}
        attributes = {key: _at(value) for key, value in box.items()}
        ET.SubElement(self._into, "rect", {"class": looks, **attributes})

    def dot(self, point: Point, radius: float, looks: str) -> None:
        """A circle around the point."""
        attributes = {"class": looks, "cx": _at(point[0]), "cy": _at(point[1]), "r": _at(radius)}
        ET.SubElement(self._into, "circle", attributes)

    def text(self, point: Point, text: str, looks: str = "") -> None:
        """Words at a point; the class says which end of them stands there."""
        attributes = {"x": _at(point[0]), "y": _at(point[1])}
        if looks:
            attributes["class"] = looks
        ET.SubElement(self._into, "text", attributes).text = printable(text)

    def markup(self) -> str:
        """The whole, escaped."""
        return ET.tostring(self.root, encoding="unicode", short_empty_elements=False)


def _at(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no place in a drawing")
    return f"{round(value, 1):g}"
