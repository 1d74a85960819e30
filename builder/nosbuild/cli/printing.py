"""Values go in; text for people comes out: one console each for results and for progress."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

MEGA = 1e6


def results() -> Console:
    """Standard output: what was asked for."""
    return Console(highlight=False, soft_wrap=False)


def progress() -> Console:
    """Standard error: what is going on."""
    return Console(stderr=True, highlight=False)


def table(*columns: str) -> Table:
    """A table in the house style: no frame, dim headings; long cells fold."""
    made = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=1, default=str))


def megabytes(size: int) -> str:
    """``90.9 MB``; kilobytes below one."""
    return f"{size / MEGA:.1f} MB" if size >= MEGA else f"{size / 1e3:.1f} kB"
