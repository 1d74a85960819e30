"""Tensors and images of other libraries in, numpy arrays out; none of them is imported here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._casts import Unfit, bfloat16_from_bits

_ON_HOST = frozenset({1, 3, 11, 13})
"""DLPack's kDLCPU, kDLCUDAHost, kDLROCMHost, kDLCUDAManaged: memory that the CPU reads."""
_DEVICES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 14: "oneapi"}
_FAILURES = (BufferError, RuntimeError, TypeError, ValueError, AttributeError)


def is_tensor(value: Any) -> bool:
    """Whether it is an array of another library than numpy: of torch, cupy, jax and the like."""
    return hasattr(value, "__dlpack__") or hasattr(value, "__cuda_array_interface__")


def is_image(value: Any) -> bool:
    """Whether it is an image of PIL."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def from_tensor(tensor: Any) -> npt.NDArray[Any]:
    """Its values on the host: a view of its memory where that is there already, else a copy.

    Raises:
        Unfit: it cannot be read from here.
    """
    try:
        # torch's own steps to what DLPack can hand over; each gives the tensor itself if it can.
        for step in ("detach", "cpu", "resolve_conj", "resolve_neg"):
            method = getattr(tensor, step, None)
            if callable(method):
                tensor = method()
    except _FAILURES as error:
        raise Unfit(f"is a {_kind(tensor)} that cannot be read: {_first_line(error)}") from error
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor) and tensor.dtype == torch.bfloat16:
        return bfloat16_from_bits(_from_host(tensor.view(torch.int16)).view(np.uint16))
    place = _device(tensor)
    return _from_host(tensor) if place is None else _from_device(tensor, place)


def from_image(image: Any) -> npt.NDArray[Any]:
    """The pixels, [height, width] or [height, width, channels].

    Raises:
        Unfit: its pixels are places in a palette.
    """
    if image.mode in ("P", "PA"):
        raise Unfit(
            f"is an image whose pixels are places in a palette (mode {image.mode}): pass "
            ".convert('RGB'), or what else the model takes"
        )
    return np.asarray(image)


def _from_host(tensor: Any) -> npt.NDArray[Any]:
    if hasattr(tensor, "__dlpack__"):
        try:
            return np.from_dlpack(tensor)
        except _FAILURES as error:  # a dtype or layout that DLPack or numpy does not know
            reason = error
            if not hasattr(tensor, "__array__"):
                raise Unfit(f"is a {_kind(tensor)} that cannot be read: {reason}") from error
    try:
        return np.asarray(tensor)
    except _FAILURES as error:
        raise Unfit(f"is a {_kind(tensor)} that cannot be read: {_first_line(error)}") from error


def _device(tensor: Any) -> str | None:
    """Where it lies; None for the host's memory."""
    if not hasattr(tensor, "__dlpack_device__"):
        return "cuda" if hasattr(tensor, "__cuda_array_interface__") else None
    try:
        kind, number = tensor.__dlpack_device__()
    except _FAILURES as error:
        raise Unfit(f"is a {_kind(tensor)} that cannot be read: {_first_line(error)}") from error
    kind = int(kind)
    return None if kind in _ON_HOST else f"{_DEVICES.get(kind, f'device type {kind}')}:{number}"


def _from_device(tensor: Any, place: str) -> npt.NDArray[Any]:
    """A copy by the library's own method: cupy's, numba's, or what jax makes of ``__array__``."""
    reason = ""
    for name in ("get", "copy_to_host", "__array__"):
        method = getattr(tensor, name, None)
        if not callable(method):
            continue
        try:
            copy = method()
        except _FAILURES as error:  # such as cupy's __array__, which refuses
            reason = f" ({_first_line(error)})"
            continue
        if isinstance(copy, np.ndarray):
            return copy
    raise Unfit(
        f"is a {_kind(tensor)} on {place}, which nosclient cannot copy to the host{reason}: do so "
        "before, as with .cpu() in torch and .get() in cupy"
    )


def library_of(value: Any) -> str:
    """The name of the library that its class is of: ``torch``, ``numpy`` ..."""
    return type(value).__module__.partition(".")[0]


def _kind(value: Any) -> str:
    return f"{library_of(value)}.{type(value).__name__}"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
