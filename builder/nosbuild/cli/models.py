"""``nosbuild load`` and ``nosbuild unload``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosbuild.cli.server_options import Server, asks_a_server

if TYPE_CHECKING:
    from nosbuild.runtime import ServiceRecord

_UNLOAD_SECONDS = 300.0
Name = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]


@asks_a_server
def load(server: Server, name: Name) -> None:
    """Load a model of the running server's repository, or its newest version again.

    A model whose worker process ended is unloaded first where the server is a service of this
    machine whose HTTP port asks for nothing.
    """
    from nosbuild.cli.connect import connect

    client, record = connect(server, name)
    with client:
        if record:
            from nosbuild.runtime.loading import require_loadable

            repository = Path(record.repository)
            require_loadable(repository, name)
            _make_environment(repository, name)
            _unload_dead(record, name)
        client.load_model(name)
    typer.echo(f"{name} is loaded")


def _make_environment(repository: Path, name: str) -> None:
    from nosbuild.cli.printing import progress
    from nosbuild.runtime import server_environment
    from nosbuild.runtime.model_environments import require_environment

    console = progress()
    require_environment(repository, name, server_environment(console.print), console.print)


def _unload_dead(record: ServiceRecord, name: str) -> None:
    from urllib.parse import urlsplit

    from nosbuild.runtime.control import TritonControl
    from nosbuild.runtime.loading import unload_if_worker_ended

    url = urlsplit(record.http_url)
    control = TritonControl(url.hostname or "", url.port or 0)
    if unload_if_worker_ended(control, record.pid, name, _UNLOAD_SECONDS):
        typer.echo(f"a worker process of {name} had ended: unloaded first")


@asks_a_server
def unload(server: Server, name: Name) -> None:
    """Unload a model once its requests in flight are answered."""
    from nosbuild.cli.connect import connect

    client, _ = connect(server, name)
    with client:
        client.unload_model(name)
    typer.echo(f"{name} is unloaded")
