"""Kinds of memory that a server on the same machine maps, and their regions: what is common.

A region is told by its name at the server, which says whose it is: what the server still maps for
a process that ended can be given back by another.
"""

from __future__ import annotations

import os
import secrets
import zlib
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

KindName = Literal["system", "cuda"]
_PREFIX = "nosclient"
abandoned: dict[str, Region | None] = {}
"""Regions of this process that a server had still in use when their client was closed."""


class Region(Protocol):
    """One piece of shared memory.

    Attributes:
        kind: of which memory it is.
        name: of the region at the server.
        size: bytes.
        is_held: whether the memory has to stay until the server has let go of it.
    """

    kind: KindName
    name: str
    size: int
    is_held: bool

    def registration(self) -> dict[str, Any]:
        """What the server needs to map it, but for name and size; as RegionCall has it."""

    def was_offered(self) -> None:
        """The server has mapped it, or will not."""

    def fill(self, offset: int, array: npt.NDArray[Any]) -> None:
        """Copy an array there."""

    def settle(self) -> None:
        """Wait until all that it was filled with is there."""

    def view(
        self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], owner: object
    ) -> npt.NDArray[Any]:
        """What stands there; a view keeps ``owner`` alive, a copy does not need to."""


class Kind(Protocol):
    """One kind of memory, of which regions are made.

    Attributes:
        name: as Triton's protocols spell it.
        title: the same for a person to read.
        instead: what becomes of tensors where there is none.
        smallest: bytes of the smallest region; the size of each is a multiple of it.
    """

    name: KindName
    title: str
    instead: str
    smallest: int

    def missing(self) -> str:
        """Why there is none of it on this machine; empty where there is."""

    def room(self) -> int:
        """Bytes that one client may share, all regions together.

        Raises:
            OSError: it cannot be had here.
        """

    def make(self, size: int) -> Region:
        """A region of so many bytes.

        Raises:
            OSError: there is no room for it.
        """

    def clean_up(self) -> None:
        """Take away what processes that ended have left on this machine."""


def new_name() -> str:
    """A name for a region of this process."""
    pid = os.getpid()
    return "-".join([_PREFIX, _host(), str(pid), _started(pid), secrets.token_hex(8)])


def is_left_behind(name: str) -> bool:
    """Whether a region of that name has no client any more that would give it back."""
    if name in abandoned:
        return True
    parts = name.split("-")
    if len(parts) != 5 or parts[0] != _PREFIX or parts[1] != _host() or not parts[2].isdecimal():
        return False
    return _started(int(parts[2])) != parts[3]


@cache
def _host() -> str:
    """This boot of this machine, and whose process ids these are: containers have their own."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    processes = Path("/proc/self/ns/pid").stat().st_ino
    return f"{zlib.crc32(f'{boot} {processes}'.encode()):08x}"


def _started(pid: int) -> str:
    """When a process began, in clock ticks since the machine did; "0" where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "0"
    state, *fields = stat.rpartition(")")[2].split()
    return "0" if state in "ZX" else fields[18]
