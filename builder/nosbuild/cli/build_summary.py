"""What became of several models goes in; one table, a row for each, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from nosbuild.cli.printing import megabytes, table

if TYPE_CHECKING:
    from nosbuild.cli.build_progress import Failure
    from nosbuild.steps import BuildResult


def summary(done: Sequence[BuildResult], failed: Sequence[Failure]) -> Table:
    """The published variant of every model, and those that were not published."""
    measured = any(result.items_per_second is not None for result in done)
    columns = ("items/s", "over fp32 ONNX") if measured else ()
    rows = table("model", "variant", "size", *columns, "")
    for result in done:
        over = result.measurement.over_baseline
        rate = result.items_per_second
        state = "published" if result.is_new else "unchanged"
        rows.add_row(
            f"[bold]{escape(result.name)}[/]",
            result.variant,
            megabytes(result.artifact_bytes),
            *(f"{rate:,.0f}" if rate is not None else "", f"{over.value:.2f}x" if over else "")[
                : len(columns)
            ],
            f"[green]{state}[/] v{result.version}",
        )
    for failure in failed:
        refused = "refused" if failure.error.exit_code == 4 else "failed"
        empty = [""] * (2 + len(columns))
        rows.add_row(f"[bold]{escape(failure.name)}[/]", *empty, f"[red]{refused}[/]")
    return rows
