"""``nosbuild plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson, Repository


def plan(
    repository: Repository = DEFAULT_REPOSITORY,
    gpus: Annotated[
        str,
        typer.Option(
            help="The server's: 80GiB, 4x80GiB or 2x80GiB,1x24GiB; here: those of this machine."
        ),
    ] = "here",
    models: Annotated[
        str | None,
        typer.Option(help="Only these, and what they call: a,b.", metavar="NAMES"),
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option(
            help="YAML, model: items a second that are wanted; without it, as many instances as "
            "config.pbtxt says."
        ),
    ] = None,
    reserve: Annotated[
        str, typer.Option(help="What stays free of models on each GPU, for CUDA itself.")
    ] = "1GiB",
    memory: Annotated[
        str | None,
        typer.Option(help="What the host has for models that no GPU is for, e.g. 16GiB."),
    ] = None,
    utilisation: Annotated[
        str,
        typer.Option(
            help="Share of its throughput that an instance, and of its time that a GPU, is to be "
            "used at most, where rates are wanted."
        ),
    ] = "0.7",
    apply: Annotated[
        bool, typer.Option("--apply", help="Write it into the models' config.pbtxt.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put models onto GPUs: as few as will do, then balanced; exit code 3 where not all fits."""
    from nosbuild.cli.placement_table import print_placement
    from nosbuild.cli.printing import progress
    from nosbuild.errors import InputError
    from nosbuild.placement import place

    with progress().status("looking for the fewest GPUs"):
        found = place(
            repository,
            gpus,
            models=models,
            rates=rates,
            reserve=reserve,
            memory=memory,
            utilisation=utilisation,
        )
    changed = found.apply() if apply and found.fits else []
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json({**found.as_json(), "changed": changed})
    else:
        print_placement(found, changed if apply else None)
    if not found.fits:
        raise typer.Exit(InputError.exit_code)
