"""A size goes in; memory that this process and a server on the same machine both map comes out.

A region is a file under /dev/shm (POSIX shared memory) until the server has mapped it. From then
on it has no name there: whatever ends this process, nothing is left behind in the file system.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._shared_region import KindName, is_left_behind, new_name

_FOLDER = Path("/dev/shm")


class SystemMemory:
    """The kind: POSIX shared memory of this machine."""

    name: KindName = "system"
    title = "shared memory"
    instead = "tensors travel on the wire"
    smallest = 1 << 16

    def missing(self) -> str:
        """Empty: where there is no room for any, a region says so."""
        return ""

    def room(self) -> int:
        """Half of what the system has free."""
        system = os.statvfs(_FOLDER)
        return system.f_bavail * system.f_frsize // 2

    def make(self, size: int) -> SystemRegion:
        """A region of so many bytes.

        Raises:
            OSError: the system has no shared memory, or no room in it.
        """
        return SystemRegion(size)

    def clean_up(self) -> None:
        """Take away files of processes that ended before the server had mapped them."""
        with suppress(OSError), os.scandir(_FOLDER) as entries:
            names = [entry.name for entry in entries if is_left_behind(entry.name)]
            for name in names:
                with suppress(OSError):  # another user's, or another client was quicker
                    (_FOLDER / name).unlink()


class SystemRegion:
    """One piece of it, all of whose bytes are taken at once.

    Raises:
        OSError: the system has no shared memory, or no room in it.
    """

    kind: KindName = "system"
    is_held = False  # each side has a mapping of its own

    def __init__(self, size: int) -> None:
        self.name = new_name()
        self.size = size
        file = os.open(_FOLDER / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Taken now: a page that cannot be had later would end the process with SIGBUS.
            os.posix_fallocate(file, 0, size)
            self._map = mmap.mmap(file, size)
        except BaseException:
            self.was_offered()
            raise
        finally:
            os.close(file)
        self._address = int(np.frombuffer(self._map, np.uint8).ctypes.data)

    def registration(self) -> dict[str, Any]:
        """The key of the memory, as POSIX's shm_open takes it."""
        return {"key": f"/{self.name}"}

    def was_offered(self) -> None:
        """Take away its name in the file system; the memory lives as long as it is mapped."""
        with suppress(FileNotFoundError):
            (_FOLDER / self.name).unlink()

    def fill(self, offset: int, array: npt.NDArray[Any]) -> None:
        """Copy an array there."""
        np.copyto(self.view(offset, array.dtype, array.shape, None), array)

    def settle(self) -> None:
        """Nothing to wait for."""

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
