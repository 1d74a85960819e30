"""Numpy arrays go to a GPU and come back, through CUDA's driver alone: no toolkit, no package."""

from __future__ import annotations

import ctypes

import numpy as np

from .gpus import DRIVER_LIBRARY, Driver

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream


class CudaMemory:
    """One GPU's primary context, which TensorRT shares, with one stream and named buffers."""

    def __init__(self, index: int, library: str = DRIVER_LIBRARY) -> None:
        """Take the GPU.

        Raises:
            CudaCallFailed, OSError: there is no such GPU, or no driver.
        """
        self._driver = Driver(library)
        self._device = self._driver.number("cuDeviceGet", ctypes.c_int(index))
        self._context = ctypes.c_void_p()
        self._driver.call(
            "cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(self._device)
        )
        self._stream = ctypes.c_void_p()
        self._buffers: dict[str, tuple[int, int]] = {}
        try:
            self.activate()
            self._driver.call(
                "cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(_NON_BLOCKING)
            )
        except BaseException:
            self.close()
            raise

    @property
    def stream(self) -> int:
        """The stream's handle, as TensorRT takes it."""
        return self._stream.value or 0

    def activate(self) -> None:
        """Make it the calling thread's GPU."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def buffer(self, name: str, size: int) -> int:
        """Address of at least ``size`` bytes under that name; grows, never shrinks."""
        address, capacity = self._buffers.get(name, (0, 0))
        if not address or capacity < size:
            self._free(name)
            pointer = ctypes.c_uint64()
            self._driver.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
            address = pointer.value
            self._buffers[name] = (address, size)
        return address

    def upload(self, name: str, array: np.ndarray) -> int:
        """Copy an array to the buffer of that name, in the stream's order; its address."""
        array = np.ascontiguousarray(array)
        address = self.buffer(name, array.nbytes)
        self._driver.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            self._stream,
        )
        return address

    def download(self, name: str, array: np.ndarray) -> None:
        """Copy the buffer of that name into an array; it is there after ``wait``."""
        self._driver.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_uint64(self._buffers[name][0]),
            ctypes.c_size_t(array.nbytes),
            self._stream,
        )

    def wait(self) -> None:
        """Until everything in the stream is done."""
        self._driver.call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Give everything back; again is harmless."""
        if not self._context:
            return
        self.activate()
        for name in list(self._buffers):
            self._free(name)
        if self._stream:
            self._driver.call("cuStreamDestroy_v2", self._stream)
            self._stream = ctypes.c_void_p()
        self._driver.call("cuDevicePrimaryCtxRelease_v2", ctypes.c_int(self._device))
        self._context = ctypes.c_void_p()

    def _free(self, name: str) -> None:
        address, _ = self._buffers.pop(name, (0, 0))
        if address:
            self._driver.call("cuMemFree_v2", ctypes.c_uint64(address))
