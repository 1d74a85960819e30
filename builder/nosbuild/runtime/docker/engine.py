"""Where a container engine answers goes in; a client of it, or why there is none, comes out.

Docker's engine and podman's service speak the same interface, which the docker SDK for Python is a
client of: https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nosbuild.errors import HostError

_SECONDS = 60.0
"""For one answer; engines that are busy take long."""
_DOCKER = Path("/var/run/docker.sock")
_INSTALL = (
    "Install Docker (https://docs.docker.com/engine/install/) or podman, or name an engine in "
    "DOCKER_HOST; nosbuild serve without --runtime needs none."
)
_START = "Start it: sudo systemctl start docker (podman: systemctl --user start podman.socket)."


@dataclass(frozen=True)
class Engine:
    """An engine that answers."""

    client: Any
    """``docker.DockerClient``."""
    url: str
    name: str
    """``Docker 27.3.1``, ``podman 4.3.1``."""
    is_rootless: bool
    """Users of the container are other users outside of it."""
    has_nvidia: bool
    """It lists NVIDIA's runtime; Docker can have the toolkit without that."""

    @property
    def is_podman(self) -> bool:
        """Podman's service, which differs here and there."""
        return self.name.startswith("podman")

    @property
    def is_here(self) -> bool:
        """It runs on this machine, so that it can mount this machine's folders."""
        return urlsplit(self.url).scheme in ("unix", "http+unix")

    def close(self) -> None:
        """Closes its connections; what is asked afterwards opens new ones."""
        self.client.close()


def connect_engine() -> Engine:
    """The engine that DOCKER_HOST or Docker's current context names, otherwise the one of this
    machine: Docker's, then podman's of this user, then podman's of root.

    Raises:
        HostError: the SDK is not installed, there is no engine, it does not answer, or this user
            may not ask it.
    """
    docker = sdk()
    options = _options()
    url = str(options["base_url"])
    try:
        client = docker.DockerClient(**options, version="auto", timeout=_SECONDS)
        info, version = client.info(), client.version()
    except (docker.errors.DockerException, OSError) as error:
        raise _unreachable(url, error) from error
    return Engine(client, url, _name(version), _is_rootless(info), "nvidia" in _runtimes(info))


def sdk() -> Any:
    """The docker SDK for Python.

    Raises:
        HostError: it is not installed.
    """
    try:
        import docker
    except ImportError as error:
        raise HostError(
            "containers need the docker package for Python, which is not installed",
            "pip install 'nosbuild[docker]'",
        ) from error
    return docker


def _options() -> dict[str, Any]:
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    options: dict[str, Any] = kwargs_from_env()
    if "base_url" not in options:
        options |= ContextAPI.kwargs_from_context()
    url = urlsplit(str(options.get("base_url") or f"unix://{_DOCKER}"))
    if url.scheme in ("unix", "http+unix"):
        # The default of a machine without Docker, which may have podman.
        path = Path(url.path)
        if path.resolve() == _DOCKER.resolve() and not path.exists():
            path = next((socket for socket in _podman() if socket.exists()), path)
        options["base_url"] = f"unix://{path}"
    return options


def _podman() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return [Path(runtime) / "podman/podman.sock", Path("/run/podman/podman.sock")]


def _name(version: Mapping[str, Any]) -> str:
    for component in version.get("Components") or ():
        if component["Name"] == "Podman Engine":
            return f"podman {component['Version']}"
    return f"Docker {version.get('Version', '')}".strip()


def _is_rootless(info: Mapping[str, Any]) -> bool:
    # podman has the key, Docker the option.
    return bool(info.get("Rootless")) or "name=rootless" in (info.get("SecurityOptions") or ())


def _runtimes(info: Mapping[str, Any]) -> Mapping[str, Any]:
    return info.get("Runtimes") or {}


def _unreachable(url: str, error: BaseException) -> HostError:
    numbers = {found.errno for found in _system_errors(error)}
    path = urlsplit(url).path
    if url.startswith("unix://") and (errno.ENOENT in numbers or not Path(path).exists()):
        return HostError(f"no container engine is here: there is no {path}", _INSTALL)
    if numbers & {errno.EACCES, errno.EPERM}:
        return HostError(
            f"this user may not ask the container engine at {url}",
            "Join its group (sudo usermod -aG docker $USER, then log in again), which is as good "
            "as being root there; or use podman, which needs no right.",
        )
    if errno.ECONNREFUSED in numbers or "Connection refused" in str(error):
        return HostError(f"the container engine at {url} is not running", _START)
    return HostError(f"the container engine at {url} does not answer: {error}", _START)


def _system_errors(error: BaseException) -> Iterator[OSError]:
    """The errors of the system below those of the SDK, of requests and of urllib3."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno:
            yield each
        waiting += [arg for arg in each.args if isinstance(arg, BaseException)]
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause]
