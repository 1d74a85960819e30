"""``nosbuild cache``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosbuild.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.runtime.server_files import ServerFiles
    from nosbuild.store.contents import StoredStep

cache = typer.Typer(
    no_args_is_help=True, help="Show what builds and servers keep on this machine, and free space."
)

_KEY_DIGITS = 12

Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file again, to find those that changed.")
]


@cache.command("ls")
def ls(verify: Verify = False, as_json: AsJson = False) -> None:
    """List what is kept, and its size: steps of builds, environments of servers and models."""
    from nosbuild.runtime.server_files import server_files
    from nosbuild.store.contents import stored_steps
    from nosbuild.store.folders import cache_folder, steps_folder
    from nosbuild.store.limit import cache_limit

    limit = cache_limit()
    steps, files = stored_steps(steps_folder(), verify=verify), server_files()
    size = sum(step.bytes for step in steps)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(
            {
                "folder": str(cache_folder()),
                "limit_bytes": limit,
                "bytes": size,
                "steps": [_described(step) for step in steps],
                "server_files": [_described(file) for file in files],
            }
        )
        return
    from nosbuild.cli.printing import megabytes, results
    from nosbuild.report.units import counted

    if steps:
        results().print(_steps(steps))
    of = f" of at most {megabytes(limit)}" if limit is not None else ""
    results().print(f"{counted(len(steps), 'step')}, {megabytes(size)}{of}: {steps_folder()}")
    if files:
        results().print()
        results().print(_server_files(files))


@cache.command("prune")
def prune(
    to: Annotated[
        str | None,
        typer.Option(
            help="Size that steps may take together, e.g. 5GB; the least recently used go "
            "(default: $NOSBUILD_CACHE_LIMIT, or 10GB).",
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Remove what was not used for so long, e.g. 30d or 12h "
            "(default: 30d for environments and logs, any age for steps).",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove all that nothing uses right now.")
    ] = False,
    verify: Verify = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only tell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free space: broken steps, the least recently used beyond a size, old environments and logs.

    What a build or a server uses right now stays. Whatever goes is made again when it is needed.
    """
    from nosbuild.runtime.server_files import prune_server_files
    from nosbuild.store.folders import steps_folder
    from nosbuild.store.limit import cache_limit, parse_age, parse_size
    from nosbuild.store.trim import trim

    limit = 0 if everything else cache_limit() if to is None else parse_size(to)
    age = None if older_than is None else parse_age(older_than)
    steps = trim(steps_folder(), limit, older_than=age, verify=verify, dry_run=dry_run)
    files = prune_server_files(older_than=age, everything=everything, dry_run=dry_run)
    freed = sum(step.bytes for step in steps.removed) + sum(file.bytes for file in files)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(
            {
                "dry_run": dry_run,
                "freed_bytes": freed,
                "kept_bytes": steps.kept_bytes,
                "steps": [_described(step) for step in steps.removed],
                "server_files": [_described(file) for file in files],
            }
        )
        return
    from nosbuild.cli.printing import megabytes, results
    from nosbuild.report.units import counted

    if steps.removed:
        results().print(_steps(steps.removed))
    if files:
        results().print(_server_files(files))
    results().print(
        f"{'would free' if dry_run else 'freed'} {megabytes(freed)}: "
        f"{counted(len(steps.removed), 'step')}, {counted(len(files), 'item')} of servers, "
        f"environments and logs; {counted(len(steps.kept), 'step')} kept, "
        f"{megabytes(steps.kept_bytes)}"
    )


def _described(row: StoredStep | ServerFiles) -> dict[str, Any]:
    from nosbuild.cli.printing import when

    return {**asdict(row), "last_used": when(row.last_used)}


def _steps(steps: list[StoredStep] | tuple[StoredStep, ...]) -> Table:
    from rich.markup import escape

    from nosbuild.cli.printing import ago, megabytes, table

    rows = table("model", "step", "size", "last used", "key", "")
    for step in steps:
        state = "[green]in use[/]" if step.in_use else ""
        rows.add_row(
            f"[bold]{escape(step.model) or '-'}[/]",
            escape(step.step) or "-",
            megabytes(step.bytes),
            ago(step.last_used),
            step.key[:_KEY_DIGITS],
            f"[red]{escape(step.problem)}[/]" if step.problem else state,
        )
    return rows


def _server_files(files: list[ServerFiles]) -> Table:
    """Environments one by one; of logs and notes there are many."""
    from rich.markup import escape

    from nosbuild.cli.printing import ago, megabytes, table
    from nosbuild.report.units import counted

    rows = table("beside the steps", "size", "last used", "", "")
    for kind in dict.fromkeys(file.kind for file in files):
        alike = [file for file in files if file.kind == kind]
        if kind in ("resolution", "log", "note"):
            size = megabytes(sum(file.bytes for file in alike))
            last = max(file.last_used for file in alike)
            folder = escape(str(alike[0].path.parent))
            rows.add_row(counted(len(alike), kind), size, ago(last), "", folder)
            continue
        for file in alike:
            color = "dim" if file.state == "unused" else "green"
            rows.add_row(
                kind,
                megabytes(file.bytes),
                ago(file.last_used),
                f"[{color}]{file.state}[/]",
                escape(str(file.path)),
            )
    return rows
