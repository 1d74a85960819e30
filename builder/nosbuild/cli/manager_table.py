"""What the model manager tells goes in; a table of its models comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from nosbuild.cli.printing import table
from nosbuild.rollout.candidate import MARK
from nosbuild.runtime.memory_budget import gibibytes
from nosbuild.runtime.model_manager import ask_manager

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.runtime import InferenceService
    from nosclient import Client

_SECONDS = 30.0
_LINES = 5
"""Of the log of a worker that ended."""
_COLOURS = {"ready": "green", "unloaded": "dim"}


def told_by(client: Client) -> dict[str, Any]:
    """The manager's ``status``: budget, bytes in use, and each model; without candidates that once
    were on trial.
    """
    told = ask_manager(client, "status", timeout=_SECONDS)
    for name, row in list(told["models"].items()):
        if MARK in name and row["state"] == "unloaded":
            del told["models"][name]
    return told


def manager_status(service: InferenceService) -> dict[str, Any]:
    """The same of a service of this process."""
    with service.client() as client:
        return told_by(client)


def manager_table(told: dict[str, Any]) -> Table:
    """A row a model; below it why it is not loaded, or how its last worker ended."""
    columns = ("model", "state", "instances", "memory", "last used", "loads", "evictions")
    shown = table(*columns, "crashes", "pinned")
    for name, row in told["models"].items():
        colour = _COLOURS.get(row["state"], "yellow")
        notes = "".join(f"\n{escape(note)}" for note in _notes(row))
        shown.add_row(
            f"[bold]{escape(name)}[/]",
            f"[{colour}]{row['state']}[/]{notes}",
            str(row["instances"] or "") + _limits(row),
            "about " * (row["is_estimate"] and bool(_memory(row))) + _memory(row),
            _ago(row["idle_seconds"]),
            str(row["loads"]),
            str(row["evictions"]),
            str(row["crashes"] or ""),
            "pinned" if row["pinned"] else "",
        )
    return shown


def _limits(row: dict[str, Any]) -> str:
    return f" of {row['autoscaling'][0]}..{row['autoscaling'][1]}" if "autoscaling" in row else ""


def _notes(row: dict[str, Any]) -> list[str]:
    notes = [row["failure"]] if "failure" in row else []
    if "last_crash" in row:
        crash = row["last_crash"]
        if not notes:
            notes.append(f"{_ago(crash['seconds_ago'])} {crash['reason']}")
        notes += [f"  {line}" for line in crash["log"][-_LINES:]]
    if "not_returned" in row:
        lost = _memory(row["not_returned"])
        notes.append(f"{lost} of workers that should have ended are not returned")
    return notes


def _memory(sizes: dict[str, Any]) -> str:
    gpus = [f"{gibibytes(size)} of GPU {gpu}" for gpu, size in sizes.get("gpu_bytes", {}).items()]
    own = [gibibytes(sizes["bytes"])] if sizes["bytes"] else []
    return ", ".join(own + gpus)


def budget_line(told: dict[str, Any]) -> str:
    """How much of the budget is in use."""
    used, budget = gibibytes(told["used_bytes"]), gibibytes(told["budget_bytes"])
    gpus = "".join(
        f"; {gibibytes(gpu['used_bytes'])} of {gibibytes(gpu['budget_bytes'])} of GPU {number}"
        for number, gpu in told.get("gpus", {}).items()
    )
    return f"loaded on demand: {used} of {budget} in use{gpus}"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
