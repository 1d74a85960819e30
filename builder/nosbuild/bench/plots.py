"""Measured loads go in; drawings of rates, latencies and batches come out."""

from __future__ import annotations

from collections.abc import Sequence

from nosbuild.bench.result import LevelResult
from nosbuild.report.drawing import Drawing
from nosbuild.report.scale import Scale, linear, logarithmic
from nosbuild.report.units import milliseconds, round_number, significant

WIDTH, HEIGHT = 420, 330
LEFT, RIGHT, TOP, BOTTOM = 60.0, 400.0, 30.0, 276.0
_PERCENTILES = (("p50", "p50"), ("p95", "p95"), ("p99", "p99"))
_LINE = 13.0
"""Height of a line of text."""
_BAR = 0.6
"""Of the room that a bar has, how much it takes."""


def rate_plot(levels: Sequence[LevelResult]) -> str:
    """Requests a second under each load, an ``<svg>``."""
    up = linear([level.requests_per_second for level in levels], BOTTOM, TOP)
    told = "; ".join(f"{v.name}: {significant(v.requests_per_second)}" for v in levels)
    drawing = Drawing(WIDTH, HEIGHT, "rate", "Requests a second by load", f"{told}.")
    _axes(drawing, [level.name for level in levels], up, "requests/s")
    for place, level in enumerate(levels):
        left, right = _room(place, len(levels))
        drawing.group("mark fp32", f"{level.name}: {significant(level.requests_per_second)}/s")
        top = up.at(level.requests_per_second)
        drawing.rectangle((left, BOTTOM), (right, top), "share")
        drawing.text(
            ((left + right) / 2, top - 5), significant(level.requests_per_second), "label middle"
        )
        drawing.end_group()
    return drawing.markup()


def latency_plot(levels: Sequence[LevelResult]) -> str:
    """Percentiles of the latency under each load, an ``<svg>``; empty where nothing came back."""
    found = [level for level in levels if level.latency_ms]
    if not found:
        return ""
    rows = {
        key: [float(getattr(level.latency_ms, key)) for level in found] for key, _ in _PERCENTILES
    }
    up = logarithmic([ms for row in rows.values() for ms in row], BOTTOM, TOP)
    told = "; ".join(
        f"{level.name}: " + ", ".join(f"{k} {milliseconds(rows[k][i])}" for k in rows)
        for i, level in enumerate(found)
    )
    drawing = Drawing(WIDTH, HEIGHT, "latency", "Latency by load", f"Logarithmic. {told}.")
    _axes(drawing, [level.name for level in found], up, "ms a request")
    for place, level in enumerate(found):
        left, right = _room(place, len(found))
        middle = (left + right) / 2
        shown = ", ".join(f"{key} {milliseconds(row[place])}" for key, row in rows.items())
        drawing.group("mark int8", f"{level.name}: {shown}")
        heights = {key: up.at(row[place]) for key, row in rows.items()}
        drawing.line([(middle, heights["p50"]), (middle, heights["p99"])], "p50")
        for key, height in heights.items():
            drawing.dot((middle, height), 3.5 if key == "p50" else 2.5, "dot")
        drawing.text((middle + 8, heights["p50"] + 4), significant(rows["p50"][place]), "label")
        if heights["p50"] - heights["p99"] > _LINE:
            drawing.text((middle + 8, heights["p99"] + 4), significant(rows["p99"][place]), "label")
        drawing.end_group()
    return drawing.markup()


def batch_plot(level: LevelResult, name: str) -> str:
    """Runs of the model by their batch size, an ``<svg>``; empty where the server told none.

    Args:
        level: whose runs they are.
        name: unique in the page.
    """
    runs = level.server.executions_by_batch_size if level.server else {}
    if not runs:
        return ""
    told = ", ".join(f"{count:,} runs of {size}" for size, count in runs.items())
    title = f"Batches in Triton with {level.name}"
    drawing = Drawing(WIDTH, HEIGHT, name, title, f"{told}.")
    up = linear(runs.values(), BOTTOM, TOP)
    _axes(drawing, [str(size) for size in runs], up, "runs of the model")
    for place, (size, count) in enumerate(runs.items()):
        left, right = _room(place, len(runs))
        drawing.group("mark fp16", f"{count:,} runs of {size} item{'s' * (size != 1)}")
        drawing.rectangle((left, BOTTOM), (right, up.at(count)), "share")
        drawing.end_group()
    return drawing.markup()


def _room(place: int, places: int) -> tuple[float, float]:
    """From where to where a bar goes."""
    width = (RIGHT - LEFT) / places
    middle = LEFT + (place + 0.5) * width
    half = min(_BAR * width, 48.0) / 2
    return middle - half, middle + half


def _axes(drawing: Drawing, names: Sequence[str], up: Scale, title: str) -> None:
    for value in up.ticks():
        drawing.line([(LEFT - 4, up.at(value)), (RIGHT, up.at(value))], "grid")
        drawing.text((LEFT - 8, up.at(value) + 4), round_number(value), "tick end")
    # Of many names every second, third ... has room.
    every = -(-len(names) * max(len(name) for name in names) // 48)
    for place, name in enumerate(names):
        if place % every == 0:
            left, right = _room(place, len(names))
            drawing.text(((left + right) / 2, BOTTOM + 17), name, "tick middle")
    drawing.line([(LEFT - 4, BOTTOM), (RIGHT, BOTTOM)], "axis")
    drawing.text((LEFT - 52, 14), title, "name")
