"""Tensors of other libraries that lie on a GPU in; where there, and of which dtype and shape, out.

Through DLPack (https://dmlc.github.io/dlpack/latest) or, where a library has no such thing, the
CUDA Array Interface (https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html).
"""

from __future__ import annotations

import ctypes
import math
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nosclient._cuda_driver import ALL_STREAMS, LEGACY_STREAM, device_of
from nosclient._foreign_arrays import from_tensor

_CUDA = 2  # kDLCUDA
_KINDS = {0: "i", 1: "u", 2: "f"}  # kDLInt, kDLUInt, kDLFloat
_BOOL = 6  # kDLBool
_FAILURES = (BufferError, RuntimeError, TypeError, ValueError, AttributeError, KeyError, OSError)


class Layout(NamedTuple):
    """What a tensor of another library is."""

    device: tuple[int, int]
    """DLPack's kind of device, and its number."""
    address: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_contiguous: bool


class DeviceArray:
    """An array on a GPU, contiguous, in numpy's terms, but without its values.

    Attributes:
        source: the tensor of the other library.
        device: the number of the GPU.
        address: of its first byte there.
        stream: of CUDA, after whose work it may be read; or ALL_STREAMS.
    """

    def __init__(self, source: Any, layout: Layout, stream: int, kept: object) -> None:
        self.source = source
        self.device = layout.device[1]
        self.address = layout.address
        self.stream = stream
        self.dtype = layout.dtype
        self.shape = layout.shape
        self.ndim = len(layout.shape)
        self.size = math.prod(layout.shape)
        self.nbytes = self.size * layout.dtype.itemsize
        self._kept = kept
        self._layout = layout

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        """The same under another shape, of as many elements."""
        layout = self._layout._replace(shape=shape)
        return DeviceArray(self.source, layout, self.stream, self._kept)

    def to_host(self) -> npt.NDArray[Any]:
        """Its values, copied.

        Raises:
            Unfit: the library cannot.
        """
        return np.asarray(from_tensor(self.source)).reshape(self.shape)


def on_gpu(value: Any) -> DeviceArray | None:
    """The tensor where it lies; None if that is not in CUDA's memory, or it cannot be read there.

    What its library has begun to compute is waited for in CUDA's default stream (DLPack), or by
    whoever reads it (``stream``).
    """
    try:
        if not _is_on_gpu(value):
            return None
        tensor = value
        # torch's own steps to what DLPack can hand over; each gives the tensor itself if it can.
        for step in ("detach", "resolve_conj", "resolve_neg", "contiguous"):
            method = getattr(tensor, step, None)
            if callable(method):
                tensor = method()
        found = _by_dlpack(tensor) or _by_cuda_array_interface(tensor)
    except _FAILURES:  # then it goes by the host, which says what is wrong with it
        return None
    if found is None or not found[0].is_contiguous or found[0].device[0] != _CUDA:
        return None
    layout, stream, kept = found
    return DeviceArray(value, layout, stream, kept)


def _is_on_gpu(value: Any) -> bool:
    if hasattr(value, "__dlpack_device__"):
        return int(value.__dlpack_device__()[0]) == _CUDA
    return hasattr(value, "__cuda_array_interface__")


def _by_dlpack(tensor: Any) -> tuple[Layout, int, object] | None:
    if not hasattr(tensor, "__dlpack__"):
        return None
    try:
        capsule = tensor.__dlpack__(stream=LEGACY_STREAM)
    except BufferError:  # torch: of another GPU than the current one
        return None
    # Not taken over: the capsule frees what it holds when nobody refers to it any more.
    return read_capsule(capsule), LEGACY_STREAM, (tensor, capsule)


def _by_cuda_array_interface(tensor: Any) -> tuple[Layout, int, object] | None:
    if not hasattr(tensor, "__cuda_array_interface__"):
        return None
    facts = tensor.__cuda_array_interface__
    if facts.get("mask") is not None:
        return None
    address, dtype, shape = facts["data"][0], np.dtype(facts["typestr"]), tuple(facts["shape"])
    strides = facts.get("strides")
    is_contiguous = strides is None or _is_contiguous(
        shape, [stride // dtype.itemsize for stride in strides]
    )
    place = (_CUDA, device_of(address))
    stream = facts.get("stream")
    if facts["version"] < 3:  # it does not tell
        stream = ALL_STREAMS
    elif stream is None:  # nothing to wait for
        stream = LEGACY_STREAM
    return Layout(place, address, dtype, shape, is_contiguous), stream, tensor


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_kind", c_int32),
        ("device_number", c_int32),
        ("ndim", c_int32),
        ("dtype_code", c_uint8),
        ("dtype_bits", c_uint8),
        ("dtype_lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


# A function of our own: others may declare the one of ctypes.pythonapi as they need it.
_get_pointer = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def read_capsule(capsule: Any) -> Layout:
    """What stands in a PyCapsule of the name "dltensor" (DLManagedTensor begins with a DLTensor).

    Raises:
        ValueError: it is none, or of a dtype that numpy does not have.
    """
    tensor = _DLTensor.from_address(_get_pointer(capsule, b"dltensor"))
    code, bits = tensor.dtype_code, tensor.dtype_bits
    if tensor.dtype_lanes != 1 or (code not in _KINDS and (code, bits) != (_BOOL, 8)) or bits % 8:
        raise ValueError(f"DLPack's dtype {code}, of {bits} bits, is none of numpy's")
    dtype = np.dtype(bool) if code == _BOOL else np.dtype(f"{_KINDS[code]}{bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    is_contiguous = not tensor.strides or _is_contiguous(shape, tensor.strides[: tensor.ndim])
    return Layout(
        (tensor.device_kind, tensor.device_number),
        (tensor.data or 0) + tensor.byte_offset,
        dtype,
        shape,
        is_contiguous,
    )


def _is_contiguous(shape: tuple[int, ...], strides: list[int]) -> bool:
    """Whether rows follow each other in C's order; strides in elements."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
