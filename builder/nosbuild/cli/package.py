"""``nosbuild package``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson


def package(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="The models, with those that they call; by default all that are built.",
            metavar="MODEL",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str, typer.Option("--tag", "-t", help="Name of the image: registry/app:1.")
    ] = "",
    repository: Annotated[
        Path, typer.Option("--repository", "-r", help="Folder that holds one folder a model.")
    ] = DEFAULT_REPOSITORY,
    image: Annotated[
        str,
        typer.Option(
            help="What it is made from; by default nosbuild's own, for the CPU or, with --gpu, "
            "for GPUs.",
            show_default=False,
        ),
    ] = "",
    gpu: Annotated[bool, typer.Option("--gpu", help="It is to run with --gpus all.")] = False,
    network: Annotated[
        str,
        typer.Option(
            help="Of the engine, while packages are installed: host, where its own leads nowhere.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Build an image that serves models, with everything that they need inside.

    Models' Python environments are made in it, unless they are packed (nosbuild build --pack).
    """
    from dataclasses import asdict

    from nosbuild.cli.printing import progress
    from nosbuild.errors import InputError
    from nosbuild.runtime.docker.packaging import package as build

    if not tag:
        raise InputError("the image has no name", "Write --tag registry/app:1.")
    console = progress()
    with console.status("packaging") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, soft_wrap=True, markup=False)

        made = build(
            repository, models, tag=tag, image=image, gpu=gpu, network=network, on_progress=say
        )
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(asdict(made))
        return
    from nosbuild.cli.printing import megabytes, results

    console = results()
    size = f" ({megabytes(made.size_bytes)})" if made.size_bytes else ""
    console.print(f"[green]✓[/] [bold]{made.tag}[/]{size} serves {', '.join(made.models)}")
    console.print(
        f"[dim]  docker run --rm --shm-size 1g -p 127.0.0.1:8000-8002:8000-8002 "
        f"{'--gpus all ' * gpu}{made.tag}[/]",
        soft_wrap=True,
    )
