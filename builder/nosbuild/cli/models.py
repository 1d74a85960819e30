"""``nosbuild load`` and ``nosbuild unload``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nosbuild.cli.options import Url

Name = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]


def load(name: Name, url: Url = "") -> None:
    """Load a model of the running server's repository, or its newest version again."""
    from nosbuild.cli.connect import connect

    client, record = connect(url)
    with client:
        if record:
            from nosbuild.repository.unservable import require_servable

            require_servable(Path(record.repository), name)
        client.load_model(name)
    typer.echo(f"{name} is loaded")


def unload(name: Name, url: Url = "") -> None:
    """Unload a model once its requests in flight are answered."""
    from nosbuild.cli.connect import connect

    client, _ = connect(url)
    with client:
        client.unload_model(name)
    typer.echo(f"{name} is unloaded")
