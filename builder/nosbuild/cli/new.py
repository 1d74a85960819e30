"""``nosbuild new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="The model's folder; its last part is the name.")],
    source: Annotated[
        str, typer.Option("--from", help="torch, huggingface, onnx, sklearn, python or pipeline.")
    ] = "torch",
) -> None:
    """Start a model: a commented model.yaml to edit."""
    from nosbuild.cli.options import DEFAULT_REPOSITORY
    from nosbuild.spec import start_model

    # A bare name goes where `build` and `serve` look by default.
    folder = Path(name) if len(Path(name).parts) > 1 else DEFAULT_REPOSITORY / name
    file = start_model(folder, source)
    typer.echo(f"{file}: edit it, then run: nosbuild build {folder}")
