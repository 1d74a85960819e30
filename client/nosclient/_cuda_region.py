"""A size goes in; memory of a GPU that this process and a server on the same machine map comes out.

Each region is one allocation, in whole units of the driver's, so that the server sees nothing else
of this process. The driver frees it with the process, however that ends; otherwise it is freed once
the server has let go of it.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._cuda_arrays import DeviceArray
from nosclient._cuda_driver import CudaError, Device, device, missing
from nosclient._errors import ServerError
from nosclient._shared_region import KindName, new_name

_log = logging.getLogger("nosclient")


class CudaMemory:
    """The kind: memory of one GPU.

    Args:
        number: of the GPU, as CUDA counts those that this process sees.
    """

    name: KindName = "cuda"
    title = "CUDA shared memory"
    instead = "tensors on a GPU are copied to the host"
    smallest = 2 << 20  # smaller allocations share a block, which is mapped as a whole

    def __init__(self, number: int) -> None:
        self._number = number

    def missing(self) -> str:
        """Why there is none here; empty where there is."""
        return missing()

    def room(self) -> int:
        """A quarter of what is free: models need the rest."""
        return device(self._number).free_bytes() // 4

    def make(self, size: int) -> CudaRegion:
        """A region of so many bytes.

        Raises:
            OSError: there is no room for it, or it cannot be shared.
        """
        return CudaRegion(device(self._number), size)

    def clean_up(self) -> None:
        """Nothing: the driver does."""


class CudaRegion:
    """One piece of it.

    Raises:
        OSError: there is no room for it, or it cannot be shared.
    """

    kind: KindName = "cuda"
    is_held = True  # what another process maps must not be freed

    def __init__(self, where: Device, size: int) -> None:
        self.name = new_name()
        self.size = size
        self._device = where
        self._process = os.getpid()
        self._address = 0
        self._address = where.allocate(size)
        self._handle = where.handle(self._address)

    def registration(self) -> dict[str, Any]:
        """The handle by which it is mapped, and the number of the GPU."""
        return {"handle": self._handle, "device": self._device.number}

    def was_offered(self) -> None:
        """It has no name that others would see."""

    def fill(self, offset: int, array: npt.NDArray[Any]) -> None:
        """Begin to copy an array there, from the host or from the same GPU."""
        address = self._address + offset
        if isinstance(array, DeviceArray):
            self._device.copy_from_device(address, array.address, array.nbytes, array.stream)
        else:
            self._device.copy_from_host(address, array)

    def settle(self) -> None:
        """Wait until all that it was filled with is there."""
        self._device.settle()

    def view(
        self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], owner: object
    ) -> npt.NDArray[Any]:
        """A copy on the host, of these bytes only.

        Raises:
            ServerError: the driver refuses, such as after an error of a kernel of this process.
        """
        found: npt.NDArray[Any] = np.empty(shape, dtype)
        try:
            if found.nbytes:
                self._device.copy_to_host(self._address + offset, found)
        except CudaError as error:
            raise ServerError(f"an answer in CUDA shared memory cannot be read: {error}") from error
        return found

    def __del__(self) -> None:
        # A child of a fork has no part in it, and at the end of the process the driver frees it.
        if not self._address or self._process != os.getpid() or sys.is_finalizing():
            return
        try:
            self._device.free(self._address)
        except CudaError as error:
            _log.debug("CUDA shared memory: %s", error)
