"""A repository, an image and options go in; a container comes out, not started yet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError
from nosbuild.repository.layout import ENVIRONMENTS
from nosbuild.runtime.docker.engine import Engine, sdk
from nosbuild.runtime.docker.images import FOLDER, Image
from nosbuild.runtime.docker.links import LINKS, make_links, remove_links
from nosbuild.runtime.docker.options import GPU_LIMITS, ContainerOptions
from nosbuild.runtime.docker.owner import OWNER, this_process
from nosbuild.runtime.docker.refusals import refusals
from nosbuild.runtime.ports import ChosenPorts
from nosbuild.version import VERSION

PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""In the container."""
_PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
"""Where pip finds the packages of models' environments."""
_FILES_PASSED_ON = ("PIP_CERT", "PIP_CONFIG_FILE")
"""Variables that name a file, which is mounted at the same path."""


def make_container(
    engine: Engine,
    image: Image,
    repository: Path,
    arguments: Sequence[str],
    host: str,
    ports: ChosenPorts,
    options: ContainerOptions,
) -> Any:
    """A container that serves the repository, read-only at ``/models``.

    Args:
        engine: of this machine.
        image: whose entry point is ``nosbuild serve /models``.
        repository: without links in its path.
        arguments: of ``nosbuild serve``.
        host: this machine's address that the ports are at.
        ports: of this machine.
        options: of the user.

    Returns:
        ``docker.models.containers.Container``.

    Raises:
        HostError: the engine refuses.
    """
    types = sdk().types
    labels = {"nosbuild.repository": str(repository), "nosbuild.version": VERSION}
    if not options.detach:
        labels[OWNER] = this_process()
    named = {name: Path(os.environ.get(name) or "-").absolute() for name in _FILES_PASSED_ON}
    files = {name: str(path) for name, path in named.items() if path.is_file()}
    holder, links = make_links(repository, engine.url)
    if holder:
        labels[LINKS] = str(holder)
    mounted = {FOLDER: str(repository), **{path: path for path in files.values()}}
    writable = {f"{FOLDER}/{name}/{ENVIRONMENTS}": str(path) for name, path in links.items()}
    arguments_of_engine: dict[str, Any] = {
        "labels": labels,
        "environment": {**passed_on(), **files},
        "mounts": [
            *(types.Mount(at, of, type="bind", read_only=True) for at, of in mounted.items()),
            *(types.Mount(at, of, type="bind") for at, of in writable.items()),
        ],
        "ports": {f"{inside}/tcp": (host, getattr(ports, name)) for name, inside in PORTS.items()},
        "restart_policy": options.restart_policy() or None,
    }
    if options.ipc == "host":
        arguments_of_engine["ipc_mode"] = "host"
    else:
        arguments_of_engine["shm_size"] = options.shm_bytes()
    if request := options.gpu_request():
        arguments_of_engine["device_requests"] = [types.DeviceRequest(**request)]
        arguments_of_engine["ulimits"] = [
            types.Ulimit(name=name, soft=limit, hard=limit) for name, limit in GPU_LIMITS.items()
        ]
    if options.name:
        arguments_of_engine["name"] = options.name
    if user := user_of(options, engine):
        arguments_of_engine["user"] = user
    container = None
    try:
        with refusals(engine, f"make a container of {image.name}"):
            container = engine.client.containers.create(
                image.id, [*arguments], detach=True, **arguments_of_engine
            )
            container.reload()
        if request and not (container.attrs.get("HostConfig") or {}).get("DeviceRequests"):
            raise HostError(
                f"{engine.name} passes over the request for GPUs",
                "Take Docker with the NVIDIA Container Toolkit, or a later podman; or start it "
                f"yourself: podman run --device nvidia.com/gpu=all {image.name}",
            )
    except BaseException:
        if container:
            container.remove(force=True)
        remove_links(str(holder or ""))
        raise
    return container


def user_of(options: ContainerOptions, engine: Engine) -> str:
    """The user in the container; empty for the image's own.

    Clients make shared memory that only their own user can open: with this machine's, the server
    is that user, unless it is root, or another one outside.
    """
    if options.user or options.ipc != "host" or engine.is_rootless or os.getuid() == 0:
        return options.user
    return f"{os.getuid()}:{os.getgid()}"


def passed_on() -> Mapping[str, str]:
    """Variables of this process that pip reads in a container, too."""
    names = [*_PASSED_ON, *map(str.lower, _PASSED_ON)]
    return {name: os.environ[name] for name in names if name in os.environ}
