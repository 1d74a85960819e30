"""Looks at this machine: which runtimes can serve on it, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import HostError
from nosbuild.runtime.docker.engine import Engine, connect_engine
from nosbuild.runtime.docker.images import default_image, find_image, how_to_build
from nosbuild.runtime.doctor import Finding, look_at_gpu, what_embedded_needs

_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/"
_CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where the toolkit describes GPUs to engines (Container Device Interface)."""


@dataclass(frozen=True)
class RuntimeFinding:
    """One runtime, and what it needs."""

    name: str
    command: str
    """That serves with it."""
    needs: str
    found: tuple[Finding, ...]
    """Everything that it needs, there or not."""

    @property
    def can_run(self) -> bool:
        """Everything that it needs is there."""
        return all(finding.ok for finding in self.found)

    @property
    def missing(self) -> tuple[Finding, ...]:
        """What it needs and is not there."""
        return tuple(finding for finding in self.found if not finding.ok)


def examine_runtimes() -> list[RuntimeFinding]:
    """Looks at every runtime; nothing is installed, pulled or changed."""
    engine = _engine()
    gpu = look_at_gpu()
    found = [
        RuntimeFinding(
            "embedded",
            "nosbuild serve",
            "Python 3.10 to 3.12 with its shared library; about 1 GB in the cache folder",
            tuple(what_embedded_needs()),
        ),
        RuntimeFinding(
            "docker-cpu",
            "nosbuild serve --runtime docker",
            "Docker or podman, the docker package for Python, the image",
            _of_container(engine, default_image(gpu=False)),
        ),
        RuntimeFinding(
            "docker-gpu",
            "nosbuild serve --runtime docker --gpus all",
            "the same, an NVIDIA GPU with its driver, the NVIDIA Container Toolkit",
            (*_of_container(engine, default_image(gpu=True)), gpu, _toolkit(engine)),
        ),
    ]
    if isinstance(engine, Engine):
        engine.close()
    return found


def _engine() -> Engine | HostError:
    try:
        return connect_engine()
    except HostError as error:
        return error


def _of_container(engine: Engine | HostError, image: str) -> tuple[Finding, ...]:
    what = "container engine"
    if isinstance(engine, HostError):
        return (Finding(what, False, engine.message, engine.remedy),)
    found = [Finding(what, True, f"{engine.name} at {engine.url}")]
    if not engine.is_here:
        remedy = "nosbuild package makes an image with the models inside, which it can run."
        found.append(Finding("mounted repository", False, "it is on another machine", remedy))
    return (*found, _image(engine, image))


def _image(engine: Engine, name: str) -> Finding:
    what = "image"
    try:
        if image := find_image(engine, name):
            return Finding(what, True, f"{name} ({image.id.removeprefix('sha256:')[:12]})")
    except HostError as error:
        return Finding(what, False, error.message, error.remedy)
    remedy = f"docker pull {name}; or, in nosbuild's source folder: {how_to_build(name)}"
    return Finding(what, False, f"{name} is not here", remedy)


def _toolkit(engine: Engine | HostError) -> Finding:
    what = "NVIDIA Container Toolkit"
    if isinstance(engine, Engine) and engine.has_nvidia:
        return Finding(what, True, "the engine has its runtime")
    described = [file for folder in _CDI for file in folder.glob("nvidia*")]
    if described:
        return Finding(what, True, f"GPUs are described in {described[0]}")
    return Finding(what, False, "not found", f"Install it: {_TOOLKIT}")
