"""``nosbuild load``, ``unload``, ``pin``, ``unpin`` and ``scale``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosbuild.cli.server_options import Server, asks_a_server

if TYPE_CHECKING:
    from nosbuild.runtime import ServiceRecord
    from nosclient import Client

_SECONDS = 300.0
Name = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
Instances = Annotated[
    str,
    typer.Option(
        help="How many it is to have: 2; or 1..4, of which there are as many as are needed.",
        metavar="N",
    ),
]


@asks_a_server
def load(server: Server, name: Name) -> None:
    """Load a model of the running server's repository, or its newest version again.

    A new version is proven beside the old one first, where the server is a service of this machine;
    one that fails does not serve, and config.pbtxt goes back.

    A model whose worker process ended is unloaded first, where the server is a service of this
    machine without a model manager and its HTTP port asks for nothing.
    """
    from nosbuild.cli.connect import connect

    client, record = connect(server, name)
    with client:
        if record and record.container:
            _load_in_container(record, name)
            return
        if record:
            _take_up(client, record, server, name)
        elif _has_manager(client):
            _ask(client, "ensure", name, again=True)
        else:
            client.load_model(name)
    typer.echo(f"{name} is loaded")


def _rolled_out(record: ServiceRecord, server: Server, name: str) -> bool:
    """Whether it had a new version, which serves now."""
    from nosbuild.cli.printing import progress
    from nosbuild.rollout import RunningServer, roll_out, settled

    running = RunningServer.of_record(record, lambda: server.access.client(record.grpc_url))
    if running is None:
        return False
    console = progress()
    with console.status(f"looking for new versions of {name}") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, soft_wrap=True)

        outcomes = roll_out(running, name, timeout=_SECONDS, on_progress=say)
    return settled(outcomes, name, typer.echo)


def _take_up(client: Client, record: ServiceRecord, server: Server, name: str) -> None:
    """As ``EmbeddedService.load_model`` does it of a service of this process."""
    from nosbuild.runtime.served_files import served_files_of
    from nosbuild.runtime.taking_up import take_up

    repository = Path(record.repository)

    def load(closure: Sequence[str]) -> None:
        from nosbuild.runtime.loading import require_loadable
        from nosbuild.runtime.managed_models import managed_models

        require_loadable(repository, name)
        _make_environment(repository, name)
        if _has_manager(client):
            _ask(client, "ensure", name, again=True, models=managed_models(repository, closure))
        else:
            _unload_dead(record, name)
            client.load_model(name)

    take_up(
        repository,
        name,
        load,
        files=served_files_of(record.pid),
        rolls_out=lambda: _rolled_out(record, server, name),
    )


def _load_in_container(record: ServiceRecord, name: str) -> None:
    from nosbuild.runtime.docker.service import load_in_running
    from nosbuild.runtime.loading import require_loadable

    require_loadable(Path(record.repository), name)
    for line in load_in_running(record.container, name, record.repository):
        typer.echo(line)


def _has_manager(client: Client) -> bool:
    from nosbuild.runtime.model_manager import has_manager

    return has_manager(client.list_models())


def _ask(client: Client, operation: str, name: str, **more: Any) -> dict[str, Any]:
    from nosbuild.errors import RepositoryError
    from nosbuild.runtime.model_manager import ask_manager, told_by_manager
    from nosclient import InferenceFailed

    try:
        return ask_manager(client, operation, model=name, timeout=_SECONDS, **more)
    except InferenceFailed as error:
        raise RepositoryError(told_by_manager(error.message)) from error


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
    if unload_if_worker_ended(control, record.pid, name, _SECONDS):
        typer.echo(f"a worker process of {name} had ended: unloaded first")


@asks_a_server
def unload(server: Server, name: Name) -> None:
    """Unload a model once its requests in flight are answered."""
    from nosbuild.cli.connect import connect

    client, _ = connect(server, name)
    with client:
        if _has_manager(client):
            _ask(client, "release", name)
        else:
            client.unload_model(name)
    typer.echo(f"{name} is unloaded")


@asks_a_server
def pin(server: Server, name: Name) -> None:
    """Keep a model that is loaded on demand, or will be: it is never unloaded for others."""
    _set_pinned(server, name, "pin")
    typer.echo(f"{name} is pinned")


@asks_a_server
def unpin(server: Server, name: Name) -> None:
    """Let a model be unloaded when others need its memory."""
    _set_pinned(server, name, "unpin")
    typer.echo(f"{name} is not pinned")


@asks_a_server
def scale(server: Server, name: Name, instances: Instances) -> None:
    """Give a model that is loaded on demand more or fewer instances, while it goes on to answer."""
    from nosbuild.cli.connect import connect

    asked = _instances(instances)
    client, _ = connect(server, name)
    with client:
        require_manager(client)
        told = _ask(client, "scale", name, instances=asked)
    later = "" if told["state"] == "ready" else " once it is loaded"
    number = told["instances"]
    limits = f", and may have {instances}" if isinstance(asked, list) else ""
    typer.echo(f"{name} has {number} instance{'s' * (number > 1)}{later}{limits}")


def _instances(text: str) -> int | list[int]:
    least, dots, most = text.partition("..")
    try:
        numbers = [int(least), int(most)] if dots else [int(text)]
    except ValueError:
        numbers = []
    if not numbers or not 1 <= numbers[0] <= numbers[-1]:
        raise typer.BadParameter(
            f"{text!r} is neither a number from 1 up, such as 2, nor a range, such as 1..4",
            param_hint="--instances",
        )
    return numbers if dots else numbers[0]


def _set_pinned(server: Server, name: str, operation: str) -> None:
    from nosbuild.cli.connect import connect

    client, _ = connect(server, name)
    with client:
        require_manager(client)
        _ask(client, operation, name)


def require_manager(client: Client) -> None:
    """Refuse a server that has none.

    Raises:
        RequestError: it loads no models on demand.
    """
    from nosbuild.errors import RequestError

    if not _has_manager(client):
        raise RequestError(
            "this server does not load models on demand: it has no model manager to ask",
            "Start it with: nosbuild serve --models on-demand",
        )
