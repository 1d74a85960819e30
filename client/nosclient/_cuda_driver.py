"""NVIDIA's driver, as far as memory is shared through it: libcuda.so.1, called through ctypes.

The driver and no package on it (cuda-python, cupy): it is there wherever a GPU is, and nosclient
needs nothing else. All functions as in NVIDIA's CUDA Driver API reference.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

LEGACY_STREAM = 1
"""CU_STREAM_LEGACY: the default stream, which other libraries know under the same number."""
ALL_STREAMS = -1
_HANDLE_BYTES = 64  # of CUipcMemHandle
_DEVICE_ORDINAL = 9  # CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
_ARGUMENTS: dict[str, list[Any]] = {
    "cuInit": [c_uint],
    "cuGetErrorString": [c_int, POINTER(c_char_p)],
    "cuDeviceGetCount": [POINTER(c_int)],
    "cuDeviceGet": [POINTER(c_int), c_int],
    "cuDevicePrimaryCtxRetain": [POINTER(c_void_p), c_int],
    "cuCtxPushCurrent_v2": [c_void_p],
    "cuCtxPopCurrent_v2": [POINTER(c_void_p)],
    "cuCtxSynchronize": [],
    "cuStreamSynchronize": [c_void_p],
    "cuMemGetInfo_v2": [POINTER(c_size_t), POINTER(c_size_t)],
    "cuMemAlloc_v2": [POINTER(c_uint64), c_size_t],
    "cuMemFree_v2": [c_uint64],
    "cuMemcpyHtoD_v2": [c_uint64, c_void_p, c_size_t],
    "cuMemcpyDtoH_v2": [c_void_p, c_uint64, c_size_t],
    "cuMemcpyDtoDAsync_v2": [c_uint64, c_uint64, c_size_t, c_void_p],
    "cuIpcGetMemHandle": [POINTER(c_char * _HANDLE_BYTES), c_uint64],
    "cuPointerGetAttribute": [c_void_p, c_int, c_uint64],
}


class CudaError(OSError):
    """The driver is not there, or refused; says what it was asked for."""


class Device:
    """One GPU, in its primary context: the one that torch, cupy and the others use.

    Args:
        number: as CUDA counts the devices that this process sees.

    Raises:
        CudaError: there is none of that number, or no driver; so do all methods.
    """

    def __init__(self, number: int) -> None:
        self._driver = _driver()
        self.number = number
        handle, context = c_int(), c_void_p()
        self._driver.call("cuDeviceGet", byref(handle), number)
        # Never given back: it lives as long as the process, in all libraries that use it.
        self._driver.call("cuDevicePrimaryCtxRetain", byref(context), handle)
        self._context = context

    def free_bytes(self) -> int:
        """What nobody uses of its memory."""
        free, total = c_size_t(), c_size_t()
        with self._current():
            self._driver.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    def allocate(self, size: int) -> int:
        """The address of new memory, an allocation of its own: another process may map no part."""
        address = c_uint64()
        with self._current():
            self._driver.call("cuMemAlloc_v2", byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        """Give back what was allocated there."""
        with self._current():
            self._driver.call("cuMemFree_v2", address)

    def handle(self, address: int) -> bytes:
        """What another process maps the allocation by (cudaIpcMemHandle_t)."""
        found = (c_char * _HANDLE_BYTES)()
        with self._current():
            self._driver.call("cuIpcGetMemHandle", byref(found), address)
        return bytes(found)

    def copy_from_host(self, address: int, array: npt.NDArray[Any]) -> None:
        """Begin to copy an array there; it may be written to again at once."""
        array = np.ascontiguousarray(array)
        with self._current():
            self._driver.call("cuMemcpyHtoD_v2", address, array.ctypes.data, array.nbytes)

    def copy_from_device(self, address: int, source: int, size: int, stream: int) -> None:
        """Begin to copy bytes of this GPU there, after what ``stream`` is at."""
        with self._current():
            if stream == ALL_STREAMS:
                self._driver.call("cuCtxSynchronize")
            elif stream != LEGACY_STREAM:
                self._driver.call("cuStreamSynchronize", stream)
            self._driver.call("cuMemcpyDtoDAsync_v2", address, source, size, LEGACY_STREAM)

    def settle(self) -> None:
        """Wait for all copies begun."""
        with self._current():
            self._driver.call("cuStreamSynchronize", LEGACY_STREAM)

    def copy_to_host(self, address: int, array: npt.NDArray[Any]) -> None:
        """Fill an array, which is contiguous, from there."""
        with self._current():
            self._driver.call("cuMemcpyDtoH_v2", array.ctypes.data, address, array.nbytes)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Its context, in this thread, which has its own back afterwards."""
        self._driver.call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._driver.call("cuCtxPopCurrent_v2", byref(c_void_p()))


@cache
def device(number: int) -> Device:
    """The device of that number."""
    return Device(number)


def device_of(address: int) -> int:
    """The number of the GPU whose memory that is.

    Raises:
        CudaError: of none.
    """
    found = c_int()
    _driver().call("cuPointerGetAttribute", byref(found), _DEVICE_ORDINAL, address)
    return found.value


def missing() -> str:
    """Why there is no CUDA here; empty where there is."""
    try:
        _driver().check_process()
    except CudaError as error:
        return str(error)
    return ""


class _Driver:
    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
            self._functions = {name: getattr(self._library, name) for name in _ARGUMENTS}
        except (OSError, AttributeError) as error:
            raise CudaError(f"no CUDA driver: {error}") from error
        for name, function in self._functions.items():
            function.argtypes, function.restype = _ARGUMENTS[name], c_int
        self._process = os.getpid()
        self.call("cuInit", 0)
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        if not count.value:
            raise CudaError("no CUDA device")

    def call(self, name: str, *arguments: Any) -> None:
        self.check_process()
        if result := self._functions[name](*arguments):
            raise CudaError(f"{name}: {self._text(result)}")

    def check_process(self) -> None:
        if os.getpid() != self._process:
            raise CudaError("CUDA was used before this process was forked, and does not survive it")

    def _text(self, result: int) -> str:
        found = c_char_p()
        self._functions["cuGetErrorString"](result, byref(found))
        return f"{(found.value or b'unknown error').decode()} ({result})"


_lock = threading.Lock()
_loaded: list[_Driver] = []


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # another thread may have held it


def _driver() -> _Driver:
    with _lock:
        if not _loaded:
            _loaded.append(_Driver())
        return _loaded[0]
