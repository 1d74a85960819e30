"""What an engine answers when it refuses goes in; an error with its remedy comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nosbuild.errors import HostError
from nosbuild.runtime.docker.engine import Engine, sdk

_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)
_REMEDIES: tuple[tuple[str, str, str], ...] = (
    # Part of Docker's or podman's words, what it means, the remedy.
    (
        "could not select device driver",
        "the engine cannot give the container GPUs: it has no NVIDIA Container Toolkit",
        "Install it, then restart the engine: "
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/. "
        "Without --gpus the models are served on the CPU.",
    ),
    (
        "nvidia-container-cli",
        "the NVIDIA Container Toolkit cannot use the GPU",
        "Look at nvidia-smi on this machine: the driver may be missing or too old for the image.",
    ),
    (
        "rlimit",
        "the engine may not raise the container's limits",
        "Raise its own (LimitMEMLOCK=infinity in its systemd unit), or serve without --gpus.",
    ),
    (
        "no space left on device",
        "the engine has no space left",
        "Free some: docker system prune.",
    ),
    (
        "bind source path does not exist",
        "the engine does not see the repository",
        "It may run on another machine, or in a virtual machine that shares only some folders: "
        "bring the repository along in an image (nosbuild package).",
    ),
)


@contextmanager
def refusals(engine: Engine, doing: str) -> Iterator[None]:
    """Turns what the engine refuses, or the end of the engine, into an error of the tree.

    Args:
        engine: that is asked.
        doing: what it is asked for: ``start the container``.

    Raises:
        PortTaken: of a port.
        HostError: of anything else.
    """
    errors = sdk().errors
    try:
        yield
    except errors.APIError as error:
        raise refusal(engine, doing, str(error.explanation or error)) from error
    except (errors.DockerException, OSError) as error:
        raise HostError(
            f"{engine.name} at {engine.url} stopped answering while it was to {doing}: {error}",
            "Look whether it still runs: docker info.",
        ) from error


class PortTaken(HostError):
    """A port that somebody took between our look and the engine's."""


def refusal(engine: Engine, doing: str, words: str) -> HostError:
    """The error for the engine's own words."""
    words = words.strip()
    if found := _TAKEN.search(words):
        numbers = re.findall(r"[.\]]\d*:(\d+)", words[: found.start()])  # behind an address
        port = f"port {numbers[-1]}" if numbers else "a port"
        return PortTaken(
            f"{port} is taken on this machine ({engine.name}: {words})",
            "Choose another one, or none: a free one is then found.",
        )
    for sign, meaning, remedy in _REMEDIES:
        if sign in words.lower():
            return HostError(f"{meaning} ({engine.name}: {words})", remedy)
    return HostError(
        f"{engine.name} refuses to {doing}: {words}",
        "nosbuild runtimes tells what can be used here.",
    )
