"""``nosbuild serve``."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson, Repository

if TYPE_CHECKING:
    from nosbuild.runtime import InferenceService


class Which(str, Enum):
    """Which models are loaded."""

    ALL = "all"
    ON_DEMAND = "on-demand"


class Runtime(str, Enum):
    """Where the server runs."""

    EMBEDDED = "embedded"
    DOCKER = "docker"


class Ipc(str, Enum):
    """Whose shared memory a container has."""

    PRIVATE = "private"
    HOST = "host"


_CONTAINER = "In a container (--runtime docker)"
_PORT = "port; by default {} if that is free, else any free one."


def serve(
    repository: Repository = DEFAULT_REPOSITORY,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Load only this (repeatable); with on-demand: at the start, and pin it.",
        ),
    ] = None,
    models: Annotated[
        Which, typer.Option(help="Load all at the start, or each when it is first asked for.")
    ] = Which.ALL,
    memory: Annotated[
        str | None,
        typer.Option(
            help="What models loaded on demand may take together, e.g. 4GiB; by default half of "
            "the memory that is free."
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None,
        typer.Option(help="The same of GPUs, by their numbers, e.g. 0:20GiB,1:20GiB."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int | None, typer.Option(help="HTTP " + _PORT.format(8000))] = None,
    grpc_port: Annotated[int | None, typer.Option(help="gRPC " + _PORT.format(8001))] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Metrics " + _PORT.format(8002))] = None,
    log_file: Annotated[Path | None, typer.Option(help="Keep Triton's log there.")] = None,
    verbose: Annotated[bool, typer.Option(help="Show Triton's log.")] = False,
    triton_option: Annotated[
        list[str] | None,
        typer.Option(
            envvar="NOSBUILD_TRITON_OPTIONS",
            help="Further option of tritonserver (repeatable): "
            "--triton-option=--metrics-config=summary_latencies=true",
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option(help="Serve what loads, even where some models do not.")
    ] = False,
    update: Annotated[
        bool,
        typer.Option(
            help="Prove versions that are published meanwhile, and let them take over; without: "
            "nosbuild load."
        ),
    ] = True,
    runtime: Annotated[
        Runtime, typer.Option(help="A process of this machine, or a container of its engine.")
    ] = Runtime.EMBEDDED,
    image: Annotated[
        str,
        typer.Option(
            help="By default nosbuild's own, for the CPU or, with --gpus, for GPUs.",
            rich_help_panel=_CONTAINER,
            show_default=False,
        ),
    ] = "",
    gpus: Annotated[
        str,
        typer.Option(
            help="all, how many (2), or which (device=0,1).",
            rich_help_panel=_CONTAINER,
            show_default=False,
        ),
    ] = "",
    shm_size: Annotated[
        str, typer.Option(help="Size of its /dev/shm.", rich_help_panel=_CONTAINER)
    ] = "1GiB",
    ipc: Annotated[
        Ipc,
        typer.Option(
            help="host: it has this machine's /dev/shm, so that clients here can use shared "
            "memory.",
            rich_help_panel=_CONTAINER,
        ),
    ] = Ipc.PRIVATE,
    user: Annotated[
        str,
        typer.Option(
            help="uid or uid:gid in it, in place of the image's.",
            rich_help_panel=_CONTAINER,
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(help="Its name.", rich_help_panel=_CONTAINER, show_default=False)
    ] = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running.", rich_help_panel=_CONTAINER)
    ] = False,
    restart: Annotated[
        str,
        typer.Option(
            help="With --detach: no, always, unless-stopped or on-failure:3.",
            rich_help_panel=_CONTAINER,
        ),
    ] = "no",
    as_json: AsJson = False,
) -> None:
    """Start a real Triton on a repository; Ctrl-C stops it cleanly."""
    from nosbuild.cli.printing import progress
    from nosbuild.errors import HostError
    from nosbuild.rollout import serve as start
    from nosbuild.runtime import ContainerOptions

    in_container = runtime is Runtime.DOCKER
    asked = ContainerOptions(
        image=image,
        gpus=gpus,
        name=name,
        user=user,
        shm_size=shm_size,
        ipc=ipc.value,
        restart=restart,
        detach=detach,
        update=in_container and update,
    )

    signal.signal(signal.SIGTERM, _as_interrupt)
    console = progress()
    with console.status("starting Triton") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line)

        service = start(
            repository,
            runtime="docker" if in_container else "embedded",
            # Given without --runtime docker, it is refused.
            container=asked if in_container or asked != ContainerOptions() else None,
            models=model,
            on_demand=models is Which.ON_DEMAND,
            memory=memory,
            gpu_memory=gpu_memory,
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            log_file=log_file,
            verbose=verbose,
            triton_options=triton_option or (),
            keep_going=keep_going,
            on_progress=say,
        )
    with service:
        if model:
            _tell_left_out(service, model)
        _announce(service, as_json, detach)
        if detach:
            return
        try:
            # In a container, the nosbuild in it looks for new versions.
            code = _wait(service, update and not in_container)
        except KeyboardInterrupt:
            console.print("stopping")
            return
        if in_container:
            service.stop(keep_log=True)
    raise HostError(f"Triton ended by itself with code {code}", f"Its log: {service.log_file}")


def _wait(service: InferenceService, update: bool) -> int | None:
    """Until the server ends by itself; new versions take over meanwhile, or do not."""
    if not update:
        return service.wait()
    from rich.text import Text

    from nosbuild.cli.printing import progress
    from nosbuild.rollout import watching

    console = progress()
    with watching(service, lambda line: console.print(Text(line), soft_wrap=True)):
        return service.wait()


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _announce(service: InferenceService, as_json: bool, detached: bool) -> None:
    models = service.models()
    if as_json:
        from nosbuild.cli.printing import print_json
        from nosbuild.inside_triton.model_manager.nos_model_manager import sizes

        print_json(
            {
                "http_url": service.http_url,
                "grpc_url": service.grpc_url,
                "metrics_url": service.metrics_url,
                "pid": service.pid,
                "log_file": str(service.log_file),
                "container": getattr(service, "name", None),
                "ports_taken": {
                    port: owner.removeprefix(" by ") for port, owner in service.ports.taken.items()
                },
                "models": models,
                "on_demand": service.is_on_demand,
                "failures": dict(service.failures),
                "too_large": {name: sizes.told(needs) for name, needs in service.too_large.items()},
            }
        )
        return
    from rich.markup import escape

    from nosbuild.cli.manager_table import manager_status
    from nosbuild.cli.printing import results
    from nosbuild.runtime.memory_budget import gibibytes
    from nosbuild.runtime.too_large import told_too_large

    console = results()
    if service.is_on_demand:
        told = manager_status(service)
        others = [
            name for name in told["models"] if name not in models and name not in service.too_large
        ]
        budget = gibibytes(told["budget_bytes"])
        console.print(f"[green]✓[/] Triton loads on demand, in {budget}: {', '.join(others)}")
        for name, needs in service.too_large.items():
            console.print(f"[yellow]  {escape(told_too_large(name, needs))}[/]", soft_wrap=True)
    if models or not service.is_on_demand:
        console.print(f"[green]✓[/] Triton serves [bold]{', '.join(models)}[/]")
    for name, reason in service.failures.items():
        console.print(f"[red]✗[/] {name}: {escape(reason)}")
    console.print(f"  gRPC     {service.grpc_url}")
    console.print(f"  HTTP     {service.http_url}")
    console.print(f"  metrics  {service.metrics_url}")
    for owner, taken in _by_owner(service.ports.taken).items():
        console.print(f"[yellow]  taken{escape(owner)}: {', '.join(taken)}[/]", soft_wrap=True)
    container = getattr(service, "name", "")
    if container:
        console.print(f"  container {container}")
    stop = f"docker rm -f {container} ends it" if detached else "Ctrl-C stops it"
    console.print(f"[dim]  nosbuild status shows what it does; {stop}[/]")


def _tell_left_out(service: InferenceService, asked: list[str]) -> None:
    from nosbuild.cli.printing import progress
    from nosbuild.cli.unserved_methods import unserved_methods

    if left_out := unserved_methods(service.repository, asked, service.models()):
        more = " ".join(f"-m {name}" for name in left_out)
        told = f"not served: {', '.join(left_out)}, further methods; with them: {more}"
        progress().print(told, style="yellow", soft_wrap=True)


def _by_owner(taken: Mapping[int, str]) -> dict[str, list[str]]:
    """`` by <whom>`` -> the default ports that could not be had for it."""
    owners: dict[str, list[str]] = {}
    for port, owner in taken.items():
        owners.setdefault(owner or " by another process", []).append(f"port {port}")
    return owners
