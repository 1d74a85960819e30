"""Starts a container on a model repository, and returns once it serves."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError, InputError, NosError, RepositoryError
from nosbuild.inside_triton.model_manager.nos_model_manager import sizes
from nosbuild.repository.calls import with_called
from nosbuild.repository.unservable import unservable_models
from nosbuild.runtime.docker.container import make_container, user_of
from nosbuild.runtime.docker.engine import Engine, connect_engine
from nosbuild.runtime.docker.fitting import unfit_models
from nosbuild.runtime.docker.images import Image, default_image, have_image
from nosbuild.runtime.docker.links import LINKS, remove_links
from nosbuild.runtime.docker.options import ContainerOptions
from nosbuild.runtime.docker.output import ContainerOutput
from nosbuild.runtime.docker.owner import ContainerGuard, remove_abandoned
from nosbuild.runtime.docker.readable import check_readable
from nosbuild.runtime.docker.refusals import PortTaken, refusals
from nosbuild.runtime.docker.service import STOP_SECONDS, DockerService, await_document
from nosbuild.runtime.docker.shared_memory import check_shared_memory
from nosbuild.runtime.memory_budget import budget_bytes, gpu_budgets
from nosbuild.runtime.on_demand import check_on_demand
from nosbuild.runtime.ports import ChosenPorts, Ports, choose_ports
from nosbuild.runtime.restrictions import restrictions_of
from nosbuild.runtime.servable import servable_models
from nosbuild.runtime.service_record import ServiceRecord, start_time, write_record
from nosbuild.runtime.triton_options import check_triton_options
from nosbuild.store.folders import cache_folder

_PORT_ATTEMPTS = 4
_REACHED_SECONDS = 10.0
_CLOCK_SECONDS = 10.0


def serve_in_container(
    repository: Path | str,
    *,
    models: Sequence[str] | None,
    on_demand: bool,
    memory: str | int | None,
    gpu_memory: str | Mapping[int, str | int] | None,
    host: str,
    ports: Ports,
    log_file: Path | str | None,
    verbose: bool,
    keep_going: bool,
    triton_options: Sequence[str],
    announce: bool,
    say: Callable[[str], None],
    options: ContainerOptions,
) -> DockerService:
    """``serving.serve`` for ``runtime="docker"``; the arguments are its own.

    Raises:
        RequestError: a triton_option that nosbuild sets itself.
        InputError: options that cannot be.
        RepositoryError: nothing to serve, models that do not load, or that the image's Triton
            cannot load; each with its reason.
        HostError: no engine, no image, a port in use, or what else this machine lacks.
    """
    check_triton_options(triton_options)
    options.check()
    folder = Path(repository).resolve()
    servable = servable_models(folder, with_called(folder, models) if models else models)
    if on_demand:
        servable = servable_models(folder)  # any may be asked for
    names = [model.name for model in servable]
    has_budget = memory is not None or gpu_memory is not None
    check_on_demand(on_demand, has_budget, names, folder)
    budgets = _budgets(memory, gpu_memory, has_gpus=bool(options.gpus))
    with ExitStack() as until_it_serves:
        engine = _local_engine()
        until_it_serves.callback(engine.close)
        image = have_image(engine, options.image or default_image(bool(options.gpus)), say)
        broken = _broken(folder, names, image, bool(options.gpus))
        fine = [name for name in names if name not in broken]
        # All that are fine, where only some are; the container loads all where none is named.
        wanted = list(models or (names if broken and not on_demand else ()))
        if broken and not (keep_going and set(wanted or names) & set(fine)):
            raise _not_servable(folder, broken)
        uid = _uid(user_of(options, engine), image)
        check_readable(folder, fine, uid, engine.is_rootless)
        check_shared_memory(folder, names, options)
        remove_abandoned(engine, say)
        wanted = [name for name in wanted if name in fine]
        arguments = _arguments(wanted, on_demand, budgets, keep_going, options.update)
        arguments += (f"--triton-option={option}" for option in triton_options)
        log = _log(log_file)
        for attempt in range(_PORT_ATTEMPTS):
            chosen = choose_ports(host, ports, prefer_triton=attempt == 0)
            try:
                service = _start(
                    engine, image, folder, arguments, host, chosen, options, log, verbose, say
                )
            except PortTaken:
                insists = any((ports.http, ports.grpc, ports.metrics))
                if insists or attempt + 1 == _PORT_ATTEMPTS:
                    raise
                continue
            break
        service.keeps_log = log_file is not None
        service.is_on_demand = on_demand
        service.restrictions = restrictions_of(triton_options)
        try:
            document = await_document(service)
            _require_reached(service)
            service.failures = {**broken, **document.get("failures", {})}
            unfit = document.get("too_large", {})
            service.too_large = {name: sizes.read(needs) for name, needs in unfit.items()}
            if announce:
                _announce(service)
        except BaseException as error:
            service.stop(keep_log=isinstance(error, NosError))
            raise
        until_it_serves.pop_all()
    return service


def _broken(folder: Path, names: Sequence[str], image: Image, gpu: bool) -> dict[str, str]:
    """Model -> why it cannot, or must not, be served in this container."""
    return {**unfit_models(folder, names, image, gpu), **unservable_models(folder, names)}


def _log(log_file: Path | str | None) -> Path:
    """Where the container's log goes; what an earlier run left there is kept beside."""
    if not log_file:
        name = f"container-{os.getpid()}-{secrets.token_hex(4)}.log"
        return cache_folder() / "logs" / name
    log = Path(log_file).absolute()
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    return log


def _local_engine() -> Engine:
    engine = connect_engine()
    if not engine.is_here:
        raise HostError(
            f"{engine.url} is an engine of another machine, which cannot mount this repository",
            "Bring the repository along in an image: nosbuild package.",
        )
    return engine


def _uid(user: str, image: Image) -> int:
    user = user.partition(":")[0]
    return int(user) if user.isdigit() else image.uid


def _budgets(
    memory: str | int | None, gpu_memory: str | Mapping[int, str | int] | None, has_gpus: bool
) -> list[str]:
    """Arguments of ``nosbuild serve``, which takes no bare numbers; none for what is not given."""
    if gpu_memory is not None and not has_gpus:
        raise InputError(
            "gpu_memory= is a budget of GPUs, and this container has none",
            'Add ContainerOptions(gpus="all") (--gpus all), or leave it out.',
        )
    arguments = []
    if memory is not None:
        size = budget_bytes(memory)
        arguments += ["--memory", memory if isinstance(memory, str) else f"{size}B"]
    if budgets := gpu_budgets(gpu_memory):
        sizes_of_gpus = ",".join(f"{gpu}:{size}B" for gpu, size in budgets.items())
        arguments += ["--gpu-memory", sizes_of_gpus]
    return arguments


def _arguments(
    models: Sequence[str],
    on_demand: bool,
    budgets: Sequence[str],
    keep_going: bool,
    update: bool,
) -> list[str]:
    """Of ``nosbuild serve``, which loads all models where none is named."""
    arguments = ["--json", "--verbose"]
    for name in models:
        arguments += ["--model", name]
    if on_demand:
        arguments += ["--models", "on-demand"]
    arguments += budgets
    if keep_going:
        arguments.append("--keep-going")
    arguments.append("--update" if update else "--no-update")
    return arguments


def _start(
    engine: Engine,
    image: Image,
    repository: Path,
    arguments: Sequence[str],
    host: str,
    ports: ChosenPorts,
    options: ContainerOptions,
    log: Path,
    verbose: bool,
    say: Callable[[str], None],
) -> DockerService:
    container = make_container(engine, image, repository, arguments, host, ports, options)
    links = container.labels.get(LINKS, "")
    guard = None
    try:
        if not options.detach:
            guard = ContainerGuard(engine, container.id, STOP_SECONDS, links)
        say(f"Starting the container {container.name} of {image.name}")
        with refusals(engine, "start the container"):
            container.start()
        output = ContainerOutput(engine, container.id, log, verbose, say)
    except BaseException:
        with refusals(engine, "remove the container"):
            container.remove(force=True, v=True)
        remove_links(links)
        if guard:
            guard.release()
        raise
    return DockerService(
        repository,
        "127.0.0.1" if host in ("0.0.0.0", "") else host,
        ports,
        log,
        engine=engine,
        container=container,
        image=image,
        gpu=bool(options.gpus),
        output=output,
        guard=guard,
        keeps_log=False,
    )


def _require_reached(service: DockerService) -> None:
    """The server serves; the engine has to have opened its port here."""
    deadline = time.monotonic() + _REACHED_SECONDS
    while not service.control.is_live():
        if time.monotonic() > deadline:
            raise HostError(
                f"the container serves, but {service.http_url} does not lead to it",
                "Something between may stop it: a firewall, or an engine without published ports.",
            )
        time.sleep(0.1)


def _not_servable(repository: Path, broken: dict[str, str]) -> RepositoryError:
    lines = [f"model {name!r}: {reason}" for name, reason in broken.items()]
    return RepositoryError(
        "\n".join([f"{repository} cannot be served in this container:", *lines]),
        "Do what is said there; or serve the others with --keep-going.",
    )


def _announce(service: DockerService) -> None:
    """Let other processes of this user find it, where its process is one of this machine."""
    pid = service.pid
    started = start_time(pid) if pid else None
    began = _began(service.container.attrs)
    if started is None or began is None or abs(started - began) > _CLOCK_SECONDS:
        return  # an engine in a virtual machine
    write_record(
        ServiceRecord(
            pid,
            started,
            str(service.repository),
            service.http_url,
            service.grpc_url,
            service.metrics_url,
            str(service.log_file),
            container=service.name,
        )
    )


def _began(attributes: dict[str, Any]) -> float | None:
    """When the engine started the container, seconds since the epoch."""
    from datetime import datetime

    text = str((attributes.get("State") or {}).get("StartedAt", ""))
    # Nanoseconds, and an offset of any zone: Python 3.10 reads neither Z nor nine digits.
    seconds, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789") or text[19:]
    try:
        return datetime.fromisoformat(seconds[:19] + zone.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
