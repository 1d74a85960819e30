"""``nosbuild env``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson, Repository

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.runtime.model_environments import KeptEnvironment

env = typer.Typer(
    no_args_is_help=True, help="Show the Python environments of models, and free space."
)


@env.command("ls")
def ls(repository: Repository = DEFAULT_REPOSITORY, as_json: AsJson = False) -> None:
    """List the environments on this machine, and which models of the repository run in them."""
    from nosbuild.runtime.model_environments import kept_environments

    kept = kept_environments(repository)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([_described(each) for each in kept])
        return
    from nosbuild.cli.printing import megabytes, results
    from nosbuild.report.units import counted

    if kept:
        results().print(_table(kept))
    size = megabytes(sum(each.files.bytes for each in kept))
    results().print(f"{counted(len(kept), 'environment')}, {size}")


@env.command("make")
def make(repository: Repository = DEFAULT_REPOSITORY) -> None:
    """Make the environments of all models that are built, as serving would, and link them."""
    from nosbuild.cli.printing import progress
    from nosbuild.report.units import counted
    from nosbuild.runtime import server_environment
    from nosbuild.runtime.model_environments import link_environments
    from nosbuild.runtime.servable import servable_models

    console = progress()

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    folder = repository.absolute()
    names = [model.name for model in servable_models(folder)]
    for error in link_environments(folder, names, server_environment(say), say).values():
        raise error
    typer.echo(f"{counted(len(names), 'model')} can be served")


@env.command("prune")
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Remove what was not used for so long, e.g. 30d or 12h (default: 30d).",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove all that nothing uses right now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only tell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove environments that nobody has used for long.

    What a server or a build uses right now stays. Whatever goes is made again, from the lock of
    the model, when the model is served.
    """
    from nosbuild.runtime.server_files import ENVIRONMENT_KINDS, prune_server_files
    from nosbuild.store.limit import parse_age

    age = None if older_than is None else parse_age(older_than)
    gone = prune_server_files(
        older_than=age, everything=everything, dry_run=dry_run, kinds=ENVIRONMENT_KINDS
    )
    freed = sum(file.bytes for file in gone)
    environments = [file for file in gone if file.kind == "model environment"]
    if as_json:
        from nosbuild.cli.printing import print_json

        keys = [file.path.name for file in environments]
        print_json({"dry_run": dry_run, "freed_bytes": freed, "environments": keys})
        return
    from nosbuild.cli.printing import megabytes, results
    from nosbuild.report.units import counted

    results().print(
        f"{'would free' if dry_run else 'freed'} {megabytes(freed)}: "
        f"{counted(len(environments), 'environment')}"
    )


def _described(kept: KeptEnvironment) -> dict[str, Any]:
    from nosbuild.cli.printing import when

    return {
        "key": kept.files.path.name,
        "folder": str(kept.files.path),
        "bytes": kept.files.bytes,
        "last_used": when(kept.files.last_used),
        "state": kept.files.state,
        "models": list(kept.models),
        "locked": kept.locked.as_json() if kept.locked else None,
    }


def _table(kept: list[KeptEnvironment]) -> Table:
    from rich.markup import escape

    from nosbuild.cli.printing import ago, megabytes, table

    rows = table("key", "python", "packages", "size", "last used", "", "models")
    for each in kept:
        locked = each.locked
        color = "green" if each.files.state == "in use" else "dim"
        rows.add_row(
            each.files.path.name,
            locked.python if locked else "[red]broken[/]",
            str(len(locked.packages)) if locked else "",
            megabytes(each.files.bytes),
            ago(each.files.last_used),
            f"[{color}]{each.files.state}[/]",
            escape(", ".join(each.models)),
        )
    return rows
