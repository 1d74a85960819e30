"""Starts a real Triton on a model repository: as a process of this machine, or in a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from nosbuild.errors import RequestError
from nosbuild.runtime import embedded
from nosbuild.runtime.docker.options import ContainerOptions
from nosbuild.runtime.docker.serving import serve_in_container
from nosbuild.runtime.ports import Ports
from nosbuild.runtime.service import LOAD_SECONDS, InferenceService

Runtime = Literal["embedded", "docker"]


def serve(
    repository: Path | str,
    *,
    runtime: Runtime = "embedded",
    container: ContainerOptions | None = None,
    models: Sequence[str] | None = None,
    on_demand: bool = False,
    memory: str | int | None = None,
    gpu_memory: str | Mapping[int, str | int] | None = None,
    host: str = "127.0.0.1",
    http_port: int | None = None,
    grpc_port: int | None = None,
    metrics_port: int | None = None,
    log_file: Path | str | None = None,
    verbose: bool = False,
    keep_going: bool = False,
    load_timeout: float = LOAD_SECONDS,
    drain_timeout: float | None = None,
    triton_options: Sequence[str] = (),
    announce: bool = True,
    response_cache: bool = True,
    on_progress: Callable[[str], None] | None = None,
) -> InferenceService:
    """Starts Triton on the repository and returns once every model is ready.

    Args:
        repository: the folder that holds one folder for each model.
        runtime: ``embedded``, a process of this machine; or ``docker``, a container of an engine
            on it (Docker's or podman's).
        container: how a container runs.
        models: the models to load, and with them those that they call; None: all that have a
            config.pbtxt.
        on_demand: load nothing but ``models``, which then stay, and any other when it is asked for
            first, within ``memory``.
        memory: what models that are loaded on demand may take together: ``4GiB``, or bytes; None:
            half of what is free now.
        gpu_memory: the same for memory of GPUs, by their numbers: ``0:20GiB,1:20GiB``; those that
            are not named have no budget. A container counts its own from 0.
        host: the address to listen on.
        http_port: None: 8000 if free, otherwise any free port; 0: any free port.
        grpc_port: likewise, 8001.
        metrics_port: likewise, 8002.
        log_file: where Triton's log goes and stays; None: the cache folder, for as long as it runs.
        verbose: copy the log to standard error.
        keep_going: serve what loads where some models do not; ``failures`` of the result tells,
            and the server is ready without them.
        load_timeout: seconds a model may take to load; not of a container.
        drain_timeout: seconds that requests in flight may take once the service stops; an idle
            HTTP connection that a client holds open costs as much. None: 2, or 10 where a Python
            model defines ``finalize``. Not of a container.
        triton_options: further options of tritonserver, as on its command line; not those that
            the other arguments set.
        announce: let other processes of this user find the service (``nosbuild status``).
        response_cache: give models that want it Triton's response cache; a container does.
        on_progress: told what happens, one line at a time.

    Raises:
        RequestError: a triton_option that nosbuild sets itself, or an argument that the runtime
            does not take.
        InputError: ``memory`` or ``gpu_memory`` is no size, or too little for any model, or
            nothing is to be loaded on demand.
        RepositoryError: nothing to serve, or models that do not load; each with its reason.
        HostError: a port in use, or something this machine lacks; so has the environment of a
            model that cannot be made.
    """
    if runtime == "embedded" and container is None:
        return embedded.serve(
            repository,
            models=models,
            on_demand=on_demand,
            memory=memory,
            gpu_memory=gpu_memory,
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            log_file=log_file,
            verbose=verbose,
            keep_going=keep_going,
            load_timeout=load_timeout,
            drain_timeout=drain_timeout,
            triton_options=triton_options,
            announce=announce,
            response_cache=response_cache,
            on_progress=on_progress,
        )
    if runtime not in get_args(Runtime):
        raise RequestError(f"runtime is {runtime!r}", "Write embedded or docker.")
    if runtime == "embedded":
        raise RequestError(
            "container= is for a container", 'Add runtime="docker", or leave it out.'
        )
    _refuse_embedded_only(
        load_timeout=load_timeout != LOAD_SECONDS,
        drain_timeout=drain_timeout is not None,
        response_cache=not response_cache,
    )
    return serve_in_container(
        repository,
        models=models,
        on_demand=on_demand,
        memory=memory,
        gpu_memory=gpu_memory,
        host=host,
        ports=Ports(http_port, grpc_port, metrics_port),
        log_file=log_file,
        verbose=verbose,
        keep_going=keep_going,
        triton_options=triton_options,
        announce=announce,
        say=on_progress or _silent,
        options=container or ContainerOptions(),
    )


def _refuse_embedded_only(**given: bool) -> None:
    if named := [name for name, is_given in given.items() if is_given]:
        raise RequestError(
            f"a container takes no {', '.join(named)}: the server in it is started by the image",
            "Leave it out, or take the embedded runtime.",
        )


def _silent(_: str) -> None:
    return
