"""A size goes in; memory that this process and a server on the same machine both map comes out.

A region is a file under /dev/shm (POSIX shared memory) until the server has mapped it. From then
on it has no name there: whatever ends this process, nothing is left behind in the file system.
What the server still maps for a process that ended is told by the region's name at the server.
"""

from __future__ import annotations

import mmap
import os
import secrets
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path("/dev/shm")
_PREFIX = "nosclient"
abandoned: set[str] = set()
"""Names of regions of this process that a server had still in use when their client was closed."""


class Region:
    """One piece of shared memory.

    Attributes:
        name: of the region at the server.
        key: of the memory, as POSIX's shm_open takes it.
        size: bytes.

    Args:
        size: bytes; all of them are taken at once.

    Raises:
        OSError: the system has no shared memory, or no room in it.
    """

    def __init__(self, size: int) -> None:
        pid = os.getpid()
        self.name = "-".join([_PREFIX, _host(), str(pid), _started(pid), secrets.token_hex(8)])
        self.key = f"/{self.name}"
        self.size = size
        file = os.open(FOLDER / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Taken now: a page that cannot be had later would end the process with SIGBUS.
            os.posix_fallocate(file, 0, size)
            self._map = mmap.mmap(file, size)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(file)
        self._address = int(np.frombuffer(self._map, np.uint8).ctypes.data)

    def unlink(self) -> None:
        """Take away its name in the file system; the memory lives as long as it is mapped."""
        with suppress(FileNotFoundError):
            (FOLDER / self.name).unlink()

    def view(
        self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], owner: object
    ) -> npt.NDArray[Any]:
        """An array of the region's memory, which keeps ``owner`` alive with all that views it."""
        return np.asarray(_Window(self._address + offset, dtype, shape, (self, owner)))


class _Window:
    """What numpy makes an array of without a copy; it is that array's base."""

    def __init__(
        self, address: int, dtype: np.dtype[Any], shape: tuple[int, ...], kept: object
    ) -> None:
        self.kept = kept
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "typestr": dtype.str,
            "shape": shape,
        }


def is_left_behind(name: str) -> bool:
    """Whether a region of that name has no client any more that would give it back."""
    if name in abandoned:
        return True
    parts = name.split("-")
    if len(parts) != 5 or parts[0] != _PREFIX or parts[1] != _host() or not parts[2].isdecimal():
        return False
    return _started(int(parts[2])) != parts[3]


def unlink_left_behind() -> None:
    """Take away files of processes that ended before the server had mapped them."""
    with suppress(OSError), os.scandir(FOLDER) as entries:
        names = [entry.name for entry in entries if is_left_behind(entry.name)]
        for name in names:
            with suppress(OSError):  # another user's, or another client was quicker
                (FOLDER / name).unlink()


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
