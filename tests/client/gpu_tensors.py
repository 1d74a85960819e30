"""Tensors on a GPU, as other libraries hand them over, without these libraries."""

from __future__ import annotations

import ctypes

import numpy as np

from nosclient._cuda_arrays import _DLTensor
from nosclient._cuda_driver import device

_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class GpuTensor:
    """Has the values of an array; counts how often they are copied to the host."""

    def __init__(self, array: np.ndarray, number: int = 0) -> None:
        self.array = array
        self.copies = 0
        self.number = number
        self._device = device(number)
        flat = np.ascontiguousarray(array)
        self.address = self._device.allocate(flat.nbytes)
        self._device.copy_from_host(self.address, flat)
        self._device.settle()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.number

    def copy_to_host(self) -> np.ndarray:
        self.copies += 1
        return self.array

    def free(self) -> None:
        self._device.free(self.address)


class ByInterface(GpuTensor):
    """Such as numba's and, without a stream, torch's."""

    def __init__(self, array: np.ndarray, number: int = 0, strides=None, **more) -> None:
        super().__init__(array, number)
        self.__cuda_array_interface__ = {
            "data": (self.address, False),
            "typestr": array.dtype.str,
            "shape": array.shape,
            "strides": strides,
            "version": 3,
            **more,
        }


class ByDLPack(GpuTensor):
    """Such as torch's and cupy's."""

    def __dlpack__(self, *, stream: int) -> object:
        assert stream == 1, "CUDA's default stream"
        array = self.array
        axes = ctypes.c_int64 * array.ndim
        strides = [
            stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides
        ]
        self._kept = axes(*array.shape), axes(*strides)
        shape, steps = (ctypes.cast(kept, ctypes.POINTER(ctypes.c_int64)) for kept in self._kept)
        bits = 8 * array.itemsize
        tensor = _DLTensor(
            self.address,
            2,
            self.number,
            array.ndim,
            _KINDS[array.dtype.kind],
            bits,
            1,
            shape,
            steps,
            0,
        )
        self._managed = _Managed(tensor, None, None)
        new = ctypes.PYFUNCTYPE(
            ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
        )(("PyCapsule_New", ctypes.pythonapi))
        return new(ctypes.addressof(self._managed), b"dltensor", None)
