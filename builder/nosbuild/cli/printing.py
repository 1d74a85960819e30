"""Values go in; text for people comes out: one console each for results and for progress."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import datetime, timezone
from typing import IO, Any, TextIO, cast

import typer
from rich.console import Console
from rich.table import Table

MEGA = 1e6
LOG_WIDTH = 120
"""Columns of a table in a log or a pipe, unless COLUMNS says otherwise."""
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def results() -> Console:
    """Standard output: what was asked for."""
    return _console(sys.stdout)


def progress() -> Console:
    """Standard error: what is going on."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    made = Console(file=stream, highlight=False)
    if not made.is_terminal:
        if "COLUMNS" not in os.environ:
            made.width = LOG_WIDTH
        made.file = cast("IO[str]", _Unpadded(stream))
    return made


class _Unpadded:
    """A stream that drops the blanks with which tables fill their last column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(_PADDING.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_PADDING = re.compile(r" +$", re.MULTILINE)


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
    """``90.9 MB``; kilobytes below one, gigabytes from a thousand."""
    if size >= 1000 * MEGA:
        return f"{size / (1000 * MEGA):.1f} GB"
    return f"{size / MEGA:.1f} MB" if size >= MEGA else f"{size / 1e3:.1f} kB"


def ago(moment: float) -> str:
    """``3 d ago`` for a time in seconds since the epoch; ``now`` within a minute."""
    seconds = max(0.0, time.time() - moment)
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return "now"


def when(moment: float) -> str:
    """The same for machines: ISO 8601, UTC."""
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")
