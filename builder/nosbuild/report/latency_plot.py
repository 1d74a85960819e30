"""Measured variants go in; a drawing of their latency by batch size comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from nosbuild.report.build_report import BuildReport
from nosbuild.report.drawing import Drawing
from nosbuild.report.marks import looks
from nosbuild.report.scale import Scale, logarithmic
from nosbuild.report.units import milliseconds, round_number
from nosbuild.verify.measure import Latency

WIDTH, HEIGHT = 420, 330
LEFT, RIGHT, TOP, BOTTOM = 52.0, 376.0, 30.0, 276.0
_LINE = 13.0
"""Least distance between the numbers at the lines' ends."""
_APART = 15.0
"""Least distance between the texts of two batch sizes, beside their widths."""


def latency_plot(report: BuildReport, numbers: Mapping[str, int]) -> str | None:
    """Draw it, an ``<svg>``; None where nothing was measured.

    Args:
        report: of the build.
        numbers: variant -> its number in the page's tables.
    """
    measured = {v.name: _positive(v.speed.latencies) for v in report.variants if v.speed}
    rows = {name: latencies for name, latencies in measured.items() if latencies}
    if not rows:
        return None
    everything = [row for latencies in rows.values() for row in latencies]
    sizes = sorted({row.batch for row in everything})
    across = logarithmic(sizes, LEFT, RIGHT)
    up = logarithmic([ms for row in everything for ms in (row.median_ms, row.p99_ms)], BOTTOM, TOP)
    drawing = Drawing(
        WIDTH,
        HEIGHT,
        "latency",
        "Latency by batch size",
        "Lower is faster; both axes are logarithmic. Full lines: p50; dashed: p99. "
        + " ".join(f"{name}: {_describe(latencies)}." for name, latencies in rows.items()),
    )
    _axes(drawing, sizes, across, up)
    ends = {name: (row[-1], up.at(row[-1].median_ms)) for name, row in rows.items()}
    heights = dict(zip(ends, _spread([y for _, y in ends.values()]), strict=True))
    for variant in report.variants:
        if variant.name not in rows:
            continue
        row = rows[variant.name]
        p50 = [(across.at(one.batch), up.at(one.median_ms)) for one in row]
        p99 = [(across.at(one.batch), up.at(one.p99_ms)) for one in row]
        chosen = " chosen" * (variant.name == report.published)
        drawing.group(f"mark {looks(variant)}{chosen}", f"{variant.name}: {_describe(row)}")
        drawing.line(p99, "p99")
        drawing.line(p50, "p50")
        if len(row) == 1:  # a line of one point shows nothing
            drawing.line([p50[0], p99[0]], "p99")
            drawing.dot(p99[0], 2, "dot")
        for point in p50:
            drawing.dot(point, 3, "dot")
        height = heights[variant.name]
        drawing.line([p50[-1], (RIGHT + 14, height)], "leader")
        drawing.text((RIGHT + 17, height + 4), str(numbers[variant.name]), "label")
        drawing.end_group()
    return drawing.markup()


def _positive(latencies: Sequence[Latency]) -> list[Latency]:
    """Those that have a place on a logarithmic axis."""
    return [
        row for row in latencies if all(0 < ms < math.inf for ms in (row.median_ms, row.p99_ms))
    ]


def _describe(latencies: Sequence[Latency]) -> str:
    return "; ".join(
        f"batch {row.batch} p50 {milliseconds(row.median_ms)}, p99 {milliseconds(row.p99_ms)}"
        for row in latencies
    )


def _axes(drawing: Drawing, sizes: Sequence[int], across: Scale, up: Scale) -> None:
    for value in up.ticks():
        y = up.at(value)
        drawing.line([(LEFT - 4, y), (RIGHT + 8, y)], "grid")
        drawing.text((LEFT - 8, y + 4), round_number(value), "tick end")
    last = -math.inf
    for size in sizes:
        x = across.at(size)
        drawing.line([(x, BOTTOM), (x, BOTTOM + 4)], "axis")
        if x - last > _APART:
            drawing.text((x, BOTTOM + 17), str(size), "tick middle")
            last = x
    drawing.line([(LEFT - 4, BOTTOM), (RIGHT + 8, BOTTOM)], "axis")
    drawing.text((LEFT - 44, 14), "ms for the whole batch", "name")
    drawing.text(((LEFT + RIGHT) / 2, HEIGHT - 12), "batch size, items", "name middle")


def _spread(heights: Sequence[float]) -> list[float]:
    """The same heights, moved apart as little as they need to be read, none below the axis.

    Neighbours that want one place share a block around their mean (isotonic regression).
    """
    apart = min(_LINE, (BOTTOM - TOP) / max(1, len(heights)))
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    blocks: list[list[float]] = []  # of heights, less what their places in the order add
    for place, index in enumerate(order):
        blocks.append([heights[index] - place * apart])
        while len(blocks) > 1 and fmean(blocks[-2]) >= fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    means = [fmean(block) for block in blocks for _ in block]
    placed = dict(zip(order, (mean + n * apart for n, mean in enumerate(means)), strict=True))
    over = max(0.0, max(placed.values(), default=0.0) - BOTTOM)
    return [placed[index] - over for index in range(len(heights))]
