"""A Placement goes in; tables and a few sentences come out."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from rich.text import Text

from nosbuild.cli.printing import results, table
from nosbuild.report.units import counted, gibibytes, percent

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.placement import Placement

_SHORT = 1000
"""A denominator that people read."""


def print_placement(found: Placement, changed: Sequence[str] | None) -> None:
    """GPUs, models, what is missing and what is known.

    Args:
        found: to be shown.
        changed: models whose config.pbtxt was written; None where that was not asked for.
    """
    console = results()
    console.print(_gpus(found))
    console.print()
    console.print(_models(found))
    console.print()
    for note in found.notes:
        console.print(Text(note, "dim"), soft_wrap=True)
    for sentence in found.missing:
        console.print(Text.assemble(("✗ ", "red"), sentence), soft_wrap=True)
    for sentence in found.advice:
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    if found.host:
        console.print(Text(_host(found)), soft_wrap=True)
    if found.fits:
        console.print(Text.assemble(("✓ ", "green"), _verdict(found)), soft_wrap=True)
    if changed is None:
        return
    if not found.fits:
        console.print("[red]nothing was written, since not everything fits[/]")
    elif changed:
        said = f"written: {', '.join(changed)}; a running server takes it on nosbuild load MODEL"
        console.print(said, soft_wrap=True)
    else:
        console.print("every config.pbtxt says so already")


def _gpus(found: Placement) -> Table:
    timed = any(gpu.time for gpu in found.gpus)
    rows = table("GPU", "memory", "models", "bytes", "of it", "left", *["its time"] * timed)
    for gpu in found.gpus:
        there = ", ".join(f"{name} × {count}" for name, count in sorted(gpu.instances.items()))
        rows.add_row(
            str(gpu.index),
            gibibytes(gpu.size_bytes),
            there or "[dim]unused[/]",
            gibibytes(gpu.used_bytes) if there else "",
            _share(gpu.fraction) if there else "",
            gibibytes(gpu.left_bytes),
            *([percent(float(gpu.time)) if gpu.time else ""] if timed else []),
        )
    return rows


def _share(fraction: Fraction) -> str:
    """``3/80 (3.8 %)``; without the fraction where that says nothing to people."""
    shown = percent(float(fraction))
    return f"{fraction} ({shown})" if fraction.denominator <= _SHORT else shown


def _models(found: Placement) -> Table:
    out = {one.model for one in found.left_out}
    rows = table("model", "instances", "each", "", "on", "so many because")
    for need in found.needs:
        gpus = ", ".join(f"GPU {gpu}" for gpu in found.where(need.model))
        place = "[red]left out[/]" if need.model in out else gpus
        rows.add_row(
            f"[bold]{need.model}[/]",
            str(need.instances),
            gibibytes(need.bytes_each),
            need.bytes_from,
            place if need.on_gpu else f"host: {need.why_host}",
            need.why_instances,
        )
    return rows


def _host(found: Placement) -> str:
    said = f"on the host: {counted(len(found.host), 'model')}, {gibibytes(found.host_used_bytes)}"
    return said if found.host_bytes is None else f"{said} of {gibibytes(found.host_bytes)}"


def _verdict(found: Placement) -> str:
    from nosbuild.placement.cp_sat import EXTRA, solver_name

    used = counted(found.gpus_used, "GPU")
    if not found.gpus_used:
        return "no model needs a GPU"
    needed = f"at least {found.at_least} {'is' if found.at_least == 1 else 'are'} needed"
    said = f"{used}; {needed} ({found.by})"
    if found.is_exact:
        return said
    searches = "" if solver_name() else f"; {EXTRA} searches further"
    return f"{said}: whether {found.at_least} would do is not known{searches}"
