"""What the user says of a container goes in; what the engine is asked for comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nosbuild.errors import InputError
from nosbuild.store.limit import parse_size

Ipc = Literal["private", "host"]

_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
_UNLIMITED = -1
_STACK_BYTES = 64 * 1024 * 1024
GPU_LIMITS: Mapping[str, int] = {"memlock": _UNLIMITED, "stack": _STACK_BYTES}
"""What NVIDIA's images ask for: pinned memory is locked memory."""


@dataclass(frozen=True)
class ContainerOptions:
    """How a container runs; everything has a default."""

    image: str = ""
    """Empty: nosbuild's own for this version, for the CPU or, with ``gpus``, for GPUs."""
    gpus: str = ""
    """``all``, how many (``2``), or which (``device=0,1``), as ``docker run`` takes it; empty:
    none."""
    name: str = ""
    """Of the container; empty: the engine makes one up."""
    user: str = ""
    """``uid`` or ``uid:gid`` in the container; empty: the image's, which is 1000."""
    shm_size: str | int = "1GiB"
    """Of ``/dev/shm``, through which Triton and its Python workers pass tensors."""
    ipc: Ipc = "private"
    """``host``: the container has this machine's ``/dev/shm``, so that clients on it can pass
    tensors through shared memory; ``shm_size`` is then the machine's."""
    restart: str = "no"
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:N]``: what the engine does when the
    server ends; all but ``no`` need ``detach``."""
    detach: bool = False
    """The container outlives the process that started it."""
    update: bool = False
    """New versions take over by themselves, once they are proven, as with ``nosbuild.watching``,
    which is for the embedded runtime: the nosbuild in the container watches."""

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: with what to write instead.
        """
        if not _RESTART.fullmatch(self.restart):
            raise InputError(
                f"restart is {self.restart!r}",
                "Write no, always, unless-stopped or on-failure:3.",
            )
        if self.restart != "no" and not self.detach:
            raise InputError(
                f"restart is {self.restart!r}, but the container ends with what started it",
                "Add detach=True (--detach), or leave it out.",
            )
        if self.ipc not in ("private", "host"):
            raise InputError(f"ipc is {self.ipc!r}", "Write private or host.")
        self.gpu_request()
        self.shm_bytes()

    def shm_bytes(self) -> int:
        """Bytes of a private ``/dev/shm``.

        Raises:
            InputError: no size.
        """
        if isinstance(self.shm_size, str):
            return parse_size(self.shm_size)
        if isinstance(self.shm_size, bool) or self.shm_size <= 0:
            raise InputError(f"shm_size is {self.shm_size!r}", "Write e.g. 1GiB.")
        return self.shm_size

    def gpu_request(self) -> dict[str, Any]:
        """Arguments of ``docker.types.DeviceRequest``; empty where no GPU is asked for.

        Raises:
            InputError: no such request.
        """
        if not self.gpus:
            return {}
        capabilities = [["gpu"]]
        if self.gpus == "all":
            return {"count": -1, "capabilities": capabilities}
        if self.gpus.isdigit() and int(self.gpus):
            return {"count": int(self.gpus), "capabilities": capabilities}
        if found := re.fullmatch(r"device=([\w-]+(?:,[\w-]+)*)", self.gpus):
            return {"device_ids": found[1].split(","), "capabilities": capabilities}
        raise InputError(
            f"gpus is {self.gpus!r}", "Write all, how many (2), or which (device=0,1)."
        )

    def restart_policy(self) -> dict[str, Any]:
        """As the engine takes it; empty for none."""
        if self.restart == "no":
            return {}
        name, _, count = self.restart.partition(":")
        return {"Name": name, "MaximumRetryCount": int(count or 0)}
