"""Variants, proven and measured, go in; a drawing of error against throughput comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nosbuild.report.build_report import BuildReport, VariantReport
from nosbuild.report.drawing import Drawing, Point
from nosbuild.report.error_axis import ErrorAxis, error_axis
from nosbuild.report.labels import CHARACTER, place
from nosbuild.report.marks import looks
from nosbuild.report.scale import Scale, linear, logarithmic
from nosbuild.report.units import items_per_second, round_number

WIDTH, HEIGHT = 420, 330
LEFT, RIGHT, TOP, BOTTOM = 52.0, 400.0, 30.0, 276.0
_INSET = 10.0
"""Between the vertical axis and the least error, whose mark would hide the axis' numbers."""
_LOG_FROM = 20.0
"""Ratio of the fastest to the slowest variant from which on the axis is logarithmic."""


def pareto_plot(report: BuildReport, numbers: Mapping[str, int]) -> tuple[str, str] | None:
    """Draw it; returns the ``<svg>`` and a note on what it leaves out, which may be empty.

    None where no variant was both proven and measured.

    Args:
        report: of the build.
        numbers: variant -> its number in the page's tables.
    """
    axis = error_axis(report.variants, LEFT + _INSET, RIGHT)
    if axis is None:
        return None
    shown = [v for v in report.variants if v.name in axis.errors and _rate(v) is not None]
    if not shown:
        return None
    rates = {v.name: rate for v in shown if (rate := _rate(v)) is not None}
    log = max(rates.values()) / min(rates.values()) > _LOG_FROM
    scale = (logarithmic if log else linear)(rates.values(), BOTTOM, TOP)
    points = {name: (axis.at(name), scale.at(rate)) for name, rate in rates.items()}
    drawing = Drawing(
        WIDTH,
        HEIGHT,
        "pareto",
        "Error against throughput",
        f"Further up is faster, further left is nearer to the source. {report.published} was "
        "published. "
        + " ".join(
            f"{v.name}: {items_per_second(rates[v.name])}, {axis.describe(v.name)}, {v.verdict}."
            for v in shown
        ),
    )
    _axes(drawing, axis, scale)
    _frontier(drawing, [points[v.name] for v in shown if v.verdict in ("published", "proven")])
    _marks(drawing, report, points, rates, axis, numbers)
    return drawing.markup(), axis.note


def _rate(variant: VariantReport) -> float | None:
    chosen = variant.speed.chosen if variant.speed else None
    rate = chosen.items_per_second if chosen else math.nan
    return rate if 0 < rate < math.inf else None


def _axes(drawing: Drawing, axis: ErrorAxis, scale: Scale) -> None:
    drawing.rectangle((axis.bar, TOP), (RIGHT + 8, BOTTOM), "over")
    for value in scale.ticks():
        y = scale.at(value)
        drawing.line([(LEFT - 4, y), (RIGHT + 8, y)], "grid")
        drawing.text((LEFT - 8, y + 4), round_number(value), "tick end")
    last = -math.inf
    for x, text in axis.ticks():
        drawing.line([(x, BOTTOM), (x, BOTTOM + 4)], "axis")
        width = CHARACTER * len(text)
        if x - width / 2 > last:  # two texts would run into each other
            drawing.text((min(x, RIGHT + 16 - width / 2), BOTTOM + 17), text, "tick middle")
            last = x + width / 2 + 4
    drawing.line([(LEFT - 4, BOTTOM), (RIGHT + 8, BOTTOM)], "axis")
    drawing.line([(axis.bar, TOP - 10), (axis.bar, BOTTOM)], "bar")
    drawing.text((axis.bar, TOP - 14), "bar", "tick middle")
    drawing.text((LEFT - 44, 14), "items/s", "name")
    drawing.text(((LEFT + RIGHT) / 2, HEIGHT - 12), axis.title, "name middle")


def _frontier(drawing: Drawing, points: list[Point]) -> None:
    """Through the variants that no other beats in both; fewer than two make no line."""
    best = []
    highest = math.inf  # y grows downwards
    for x, y in sorted(points):
        if y < highest:
            best.append((x, y))
            highest = y
    if len(best) > 1:
        steps = [best[0]]
        for x, y in best[1:]:
            steps += [(x, steps[-1][1]), (x, y)]
        drawing.line(steps, "frontier")


def _marks(
    drawing: Drawing,
    report: BuildReport,
    points: Mapping[str, Point],
    rates: Mapping[str, float],
    axis: ErrorAxis,
    numbers: Mapping[str, int],
) -> None:
    # The published one is placed first, so that it gets the best place for its longer text.
    shown = sorted(
        (v for v in report.variants if v.name in points), key=lambda v: v.name != report.published
    )
    texts = [
        f"{numbers[v.name]} published" if v.name == report.published else str(numbers[v.name])
        for v in shown
    ]
    frame = ((LEFT, TOP - 10), (RIGHT + 18, BOTTOM - 1))
    labels = place([points[v.name] for v in shown], texts, frame)
    for variant, text, label in zip(shown, texts, labels, strict=True):
        name = variant.name
        title = f"{name}: {items_per_second(rates[name])}, {axis.describe(name)}"
        drawing.group(f"mark {looks(variant)}", title)
        if label.leader:
            drawing.line(label.leader, "leader")
        if name == report.published:
            drawing.dot(points[name], 8, "ring")
        drawing.dot(points[name], 4.5, "dot")
        drawing.text(label.left, text, "label")
        drawing.end_group()
