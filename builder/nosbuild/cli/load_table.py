"""What loads found out goes in; tables and one sentence come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from nosbuild.bench.remarks import remarks
from nosbuild.cli.option_words import in_options
from nosbuild.cli.printing import progress, results, table
from nosbuild.report.units import significant

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.bench import BenchResult

_RUNS_SHOWN = 5
"""Batch sizes in a cell; the rest is left to --json and --html."""


def print_loads(found: BenchResult) -> None:
    """The tables, the notes, and the headline last; errors on standard error."""
    console = results()
    head = f"  {found.inputs}, {_requests(found.batch)}, {found.url}"
    if found.transport != "wire":
        head += f", {found.transport}"
    console.print(
        Text.assemble((found.model, "bold"), f" v{found.version}", (head, "dim")), soft_wrap=True
    )
    console.print(_callers_side(found))
    if any(level.server for level in found.levels):
        console.print()
        console.print(_servers_side(found))
    for note in found.notes:
        console.print(Text(note, "yellow"), soft_wrap=True)
    for level in found.levels:
        for note in remarks(level):
            console.print(Text(f"{level.name}: {note}", "yellow"), soft_wrap=True)
    errors = progress()
    for level in found.levels:
        for kind, failed in level.failed.items():
            told = f"{level.name}: {failed.count:,} x {kind}, e.g. {in_options(failed.example)}"
            errors.print(Text(told, "red"), soft_wrap=True)
    console.print(_mark(found), Text(found.headline()), sep="", soft_wrap=True)


def _mark(found: BenchResult) -> Text:
    if found.failure or any(level.failures for level in found.levels):
        return Text("✗ ", "red")
    if found.notes or not all(level.keeps_up for level in found.levels):
        return Text("! ", "yellow")
    return Text("✓ ", "green")


def _requests(batch: int) -> str:
    return f"{batch} item{'s' * (batch != 1)} a request"


def _callers_side(found: BenchResult) -> Table:
    rows = table(
        "load", "requests/s", "items/s", "mean ms", "p50", "p90", "p95", "p99", "answered", "failed"
    )
    for column in rows.columns[1:]:
        column.justify = "right"
    for level in found.levels:
        latency = level.latency_ms
        times = (
            [latency.mean, latency.p50, latency.p90, latency.p95, latency.p99] if latency else []
        )
        rows.add_row(
            f"[bold]{level.name}[/]",
            significant(level.requests_per_second),
            significant(level.items_per_second),
            *([significant(ms) for ms in times] or [""] * 5),
            f"{level.answered:,}",
            f"[red]{level.failures:,}[/]" if level.failures else "0",
        )
    return rows


def _servers_side(found: BenchResult) -> Table:
    rows = table("in Triton", "queue ms", "input", "infer", "output", "outside", "a run", "runs")
    for column in rows.columns[1:-1]:
        column.justify = "right"
    for level in found.levels:
        side = level.server
        if side is None:
            continue
        phases = (side.queue_ms, side.compute_input_ms, side.compute_infer_ms)
        outside = max(0.0, level.latency_ms.mean - side.total_ms) if level.latency_ms else None
        rows.add_row(
            f"[bold]{level.name}[/]",
            *(significant(ms) for ms in (*phases, side.compute_output_ms)),
            "" if outside is None else significant(outside),
            f"{side.items_a_run:.1f}",
            runs_by_size(side.executions_by_batch_size),
        )
    return rows


def runs_by_size(runs: Mapping[int, int]) -> str:
    """``120 of 8 items, 14 of 7, ...``: the most frequent first."""
    often = sorted(runs.items(), key=lambda entry: -entry[1])
    shown = [f"{count:,} of {size}" for size, count in often[:_RUNS_SHOWN]]
    return ", ".join(shown) + ", ..." * (len(often) > _RUNS_SHOWN)
