"""What the model manager tells goes in; a table of its models comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from nosbuild.cli.printing import table
from nosbuild.runtime.memory_budget import gibibytes
from nosbuild.runtime.model_manager import ask_manager

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.runtime import InferenceService
    from nosclient import Client

_SECONDS = 30.0
_COLOURS = {"ready": "green", "unloaded": "dim"}


def told_by(client: Client) -> dict[str, Any]:
    """The manager's ``status``: budget, bytes in use, and each model."""
    return ask_manager(client, "status", timeout=_SECONDS)


def manager_status(service: InferenceService) -> dict[str, Any]:
    """The same of a service of this process."""
    with service.client() as client:
        return told_by(client)


def manager_table(told: dict[str, Any]) -> Table:
    """A row a model; below what it is not loaded for, if it failed."""
    shown = table("model", "state", "memory", "last used", "loads", "evictions", "pinned")
    for name, row in told["models"].items():
        colour = _COLOURS.get(row["state"], "yellow")
        failure = f"\n{escape(row['failure'])}" if "failure" in row else ""
        shown.add_row(
            f"[bold]{escape(name)}[/]",
            f"[{colour}]{row['state']}[/]{failure}",
            "about " * row["is_estimate"] + gibibytes(row["bytes"]) if row["bytes"] else "",
            _ago(row["idle_seconds"]),
            str(row["loads"]),
            str(row["evictions"]),
            "pinned" if row["pinned"] else "",
        )
    return shown


def budget_line(told: dict[str, Any]) -> str:
    """How much of the budget is in use."""
    used, budget = gibibytes(told["used_bytes"]), gibibytes(told["budget_bytes"])
    return f"loaded on demand: {used} of {budget} in use"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
