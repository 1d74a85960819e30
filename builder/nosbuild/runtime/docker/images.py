"""The name of an image goes in; the image, on the engine, and what is in it come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nosbuild.errors import HostError
from nosbuild.runtime.docker.engine import Engine, sdk
from nosbuild.runtime.docker.refusals import refusals
from nosbuild.version import VERSION

REPOSITORY = "nosbuild/server"
"""Of our images; the tags are ``cpu-<version>`` and ``gpu-<version>``."""
FOLDER = "/models"
"""Where an image looks for the repository."""

_DENIED = ("denied", "unauthorized", "authentication required")
_MEGA = 1e6


def default_image(gpu: bool) -> str:
    """Our image for this version of nosbuild."""
    return f"{REPOSITORY}:{'gpu' if gpu else 'cpu'}-{VERSION}"


def how_to_build(image: str) -> str:
    """The command that makes one of our images; empty for others."""
    if found := re.fullmatch(rf"(?:.*/)?{REPOSITORY}:(cpu|gpu)-.*", image):
        return f"docker build -f docker/{found[1]}.Dockerfile -t {image} ."
    return ""


@dataclass(frozen=True)
class Image:
    """An image that the engine has."""

    name: str
    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of its environment."""
    user: str = ""
    """As ``USER`` says; empty for root."""

    @property
    def release(self) -> str:
        """Of NVIDIA's container that it is made from, such as ``26.08``; empty for others."""
        if told := self.variables.get("NVIDIA_TRITON_SERVER_VERSION"):
            return told
        is_nvidias = self.labels.get("nosbuild.kind") == "gpu"
        return self.labels.get("nosbuild.triton.release", "") if is_nvidias else ""

    @property
    def tensorrt(self) -> str:
        """The version of TensorRT in it, such as ``10.16.0.72``; empty where it does not tell."""
        return self.variables.get("TRT_VERSION", "").partition("+")[0]

    @property
    def onnx_runtime(self) -> str:
        """The version of ONNX Runtime in it; empty where it does not tell."""
        return self.labels.get("nosbuild.onnxruntime.version", "")

    @property
    def python(self) -> str:
        """The minor version of the Python in it, such as ``3.11``; empty where it does not tell."""
        told = self.labels.get("nosbuild.python") or self.variables.get("PYTHON_VERSION", "")
        return ".".join(told.split(".")[:2])

    @property
    def uid(self) -> int:
        """The user that its processes run as; 0 where it names one that we do not know."""
        name = self.user.partition(":")[0]
        return int(name) if name.isdigit() else 1000 if name else 0


def find_image(engine: Engine, name: str) -> Image | None:
    """The image, if the engine has it.

    Raises:
        HostError: the engine does not answer.
    """
    with refusals(engine, f"look for the image {name}"):
        try:
            attributes = engine.client.api.inspect_image(name)
        except sdk().errors.ImageNotFound:
            return None
    config = attributes.get("Config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return Image(
        name,
        attributes["Id"],
        dict(config.get("Labels") or {}),
        {key: value for key, _, value in pairs},
        config.get("User") or "",
    )


def have_image(engine: Engine, name: str, say: Callable[[str], None]) -> Image:
    """The image, pulled now if the engine does not have it.

    Args:
        engine: that is to run it.
        name: with or without a tag; ``latest`` is pulled where it has none.
        say: told how far the pull is, one line at a time.

    Raises:
        HostError: it is neither here nor can it be pulled; our own images can be built.
    """
    if found := find_image(engine, name):
        return found
    _pull(engine, name, say)
    if found := find_image(engine, name):
        return found
    raise HostError(f"{engine.name} pulled {name}, but does not have it", f"docker pull {name}")


def _pull(engine: Engine, name: str, say: Callable[[str], None]) -> None:
    say(f"Pulling {name}")
    progress = _Progress(name)
    repository, tag = _repository_and_tag(name)
    try:
        with refusals(engine, f"pull {name}"):
            for event in engine.client.api.pull(repository, tag, stream=True, decode=True):
                if reason := event.get("error"):
                    raise _cannot_be_pulled(engine, name, reason)
                if line := progress.line(event):
                    say(line)
    except HostError as error:
        cause = error.__cause__
        if isinstance(cause, sdk().errors.APIError):
            raise _cannot_be_pulled(engine, name, str(cause.explanation or cause)) from error
        raise


def _repository_and_tag(name: str) -> tuple[str, str | None]:
    """``registry:5000/app:1`` is two: the port of a registry is no tag; a digest is none, too."""
    if "@" in name:
        return name, None
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def _cannot_be_pulled(engine: Engine, name: str, reason: str) -> HostError:
    reason = reason.strip()
    message = f"{engine.name} has no image {name}, and cannot pull it: {reason}"
    if command := how_to_build(name):
        return HostError(message, f"Build it, in nosbuild's source folder: {command}")
    if any(sign in reason.lower() for sign in _DENIED):
        return HostError(message, "Correct the name, or log in to its registry: docker login.")
    return HostError(message, "Correct --image, or build the image.")


class _Progress:
    """What an engine tells of each layer goes in; one line about all comes out, now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._layers: dict[str, tuple[int, int]] = {}
        """Layer -> bytes that are here, bytes in all; 0 where it is not known yet."""
        self._done: set[str] = set()
        self._told = ""

    def line(self, event: Mapping[str, Any]) -> str:
        """What is to be said after an event; empty where nothing much has changed."""
        layer, status = event.get("id", ""), event.get("status", "")
        detail = event.get("progressDetail") or {}
        if not layer or layer == self._name.rpartition(":")[2]:
            return ""
        self._layers.setdefault(layer, (0, 0))
        if status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Pull complete", "Already exists"):
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
            if status != "Download complete":
                self._done.add(layer)
        here, total = (sum(each) for each in zip(*self._layers.values(), strict=True))
        # Ten steps of a layer's tenth are enough for a log.
        told = f"{len(self._done)} of {len(self._layers)} layers"
        if total:
            told += f", {10 * (10 * here // total)}% of {total / _MEGA:.0f} MB"
        if told == self._told:
            return ""
        self._told = told
        return f"Pulling {self._name}: {told}"
