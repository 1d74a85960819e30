"""A tensor on a GPU, as numba or cupy hand one over, without these libraries."""

from __future__ import annotations

import numpy as np

from nosclient._cuda_driver import device, missing


def no_gpu() -> str:
    """Why there is none here; empty where there is one."""
    return missing()


class GpuArray:
    """Has the values of an array, on the first GPU (CUDA Array Interface)."""

    def __init__(self, array: np.ndarray) -> None:
        self._shape, self._dtype = array.shape, array.dtype
        self._address = device(0).allocate(array.nbytes)
        device(0).copy_from_host(self._address, array)
        device(0).settle()
        self.__cuda_array_interface__ = {
            "data": (self._address, False),
            "typestr": array.dtype.str,
            "shape": array.shape,
            "strides": None,
            "version": 3,
        }

    def copy_to_host(self) -> np.ndarray:
        """A copy of its values, under numba's name for it."""
        found = np.empty(self._shape, self._dtype)
        device(0).copy_to_host(self._address, found)
        return found

    def free(self) -> None:
        """Give back its memory."""
        device(0).free(self._address)
