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

            repository = Path(record.repository)
            require_servable(repository, name)
            _make_environment(repository, name)
        client.load_model(name)
    typer.echo(f"{name} is loaded")


def _make_environment(repository: Path, name: str) -> None:
    from nosbuild.cli.printing import progress
    from nosbuild.runtime import server_environment
    from nosbuild.runtime.model_environments import require_environment

    console = progress()
    require_environment(repository, name, server_environment(console.print), console.print)


def unload(name: Name, url: Url = "") -> None:
    """Unload a model once its requests in flight are answered."""
    from nosbuild.cli.connect import connect

    client, _ = connect(url)
    with client:
        client.unload_model(name)
    typer.echo(f"{name} is unloaded")
