"""What a caller passes for one input in, a numpy array of the model's dtype out.

A typed value (an array, tensor or scalar of any library, an image) keeps its dtype and may only be
widened, unless the client is not strict; a plain Python value (number, string, list of them)
takes the model's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from typing import cast as cast_type

import numpy as np
import numpy.typing as npt

from nosclient._casts import FLOATS, Unfit, cast, floats, integers
from nosclient._cuda_arrays import DeviceArray
from nosclient._foreign_arrays import from_image, from_tensor, is_image, is_tensor, library_of
from nosclient._model_info import TensorInfo

_PLAIN = frozenset({float, int, bool, str})


def array_for(info: TensorInfo, value: Any, strict: bool) -> npt.NDArray[Any]:
    """The value in the input's dtype; its shape is its own.

    Raises:
        Unfit: it holds something else, or a cast would lose something.
    """
    datatype = info.datatype
    if datatype == "BYTES":
        return _strings(value)
    if type(value) is np.ndarray:
        if value.dtype == info.dtype and datatype != "BF16":
            return value  # the usual case, as quickly as can be
        return _from_typed(info, value, strict)
    if isinstance(value, DeviceArray):
        if value.dtype == info.dtype and datatype != "BF16":
            # Until SharedMemory has found a place for it, only its shape is looked at.
            return cast_type("npt.NDArray[Any]", value)
        value = value.source
    if isinstance(value, list | tuple):
        first = value
        while isinstance(first, list | tuple) and first:
            first = first[0]
        if type(first) not in _PLAIN and (_is_array(first) or is_tensor(first) or is_image(first)):
            return _from_typed(info, _stacked(value), strict, library_of(first))
        return _from_plain(info, value)
    typed = _typed(value)
    if typed is None:
        return _from_plain(info, value)
    return _from_typed(info, typed, strict, library_of(value))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


def _typed(value: Any) -> npt.NDArray[Any] | None:
    """A value with a dtype of its own as an array of it; None for a plain one."""
    if isinstance(value, np.ndarray | np.generic):
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise Unfit("has masked elements: pass .filled(value)")
        return np.asarray(value)
    if is_tensor(value):
        return from_tensor(value)
    if is_image(value):
        return from_image(value)
    return np.asarray(value) if hasattr(value, "__array__") else None


def _stacked(values: Any) -> npt.NDArray[Any]:
    """Lists of arrays, tensors or images as one array."""
    if not isinstance(values, list | tuple):
        typed = _typed(values)
        return np.asarray(values) if typed is None else typed
    rows = [_stacked(value) for value in values]
    shapes = sorted({row.shape for row in rows})
    if len(shapes) > 1:
        shown = " and ".join(str(list(shape)) for shape in shapes[:2])
        raise Unfit(f"is ragged: arrays side by side in it have the shapes {shown}")
    return np.stack(rows)


def _from_typed(
    info: TensorInfo, array: npt.NDArray[Any], strict: bool, library: str = "numpy"
) -> npt.NDArray[Any]:
    if array.dtype.kind == "O":  # Python's objects: nothing but plain values
        return _from_plain(info, array.tolist())
    return cast(info, array, strict, library)


def _from_plain(info: TensorInfo, value: Any) -> npt.NDArray[Any]:
    try:
        raw = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        if "inhomogeneous" in str(error):
            raise Unfit("is ragged: lists side by side in it differ in length") from error
        raise Unfit(f"is no array of numbers: {error}") from error
    target = info.dtype
    if raw.size == 0:
        return raw.astype(target)
    if info.datatype in FLOATS:
        taken, wanted = "biuf", "numbers"
    elif info.datatype == "BOOL":
        taken, wanted = "b", "True and False"
    else:
        taken, wanted = "biu", "whole numbers"
    if target.kind in "iu" and raw.dtype.kind in "fO" and _all_whole(value):
        # numpy makes floats of integers that fit no one type, such as [0, 2**64 - 1].
        raw = np.array(value, dtype=object)
    elif raw.dtype.kind not in taken:
        raise Unfit(f"holds {_described(raw)}; {info.datatype} takes {wanted}")
    if info.datatype in FLOATS:
        return floats(info, raw)
    return integers(info, raw) if target.kind in "iu" else raw.astype(target)


def _all_whole(value: Any) -> bool:
    items = np.array(value, dtype=object).flat
    return all(isinstance(item, int | np.integer) for item in items)


def _described(raw: npt.NDArray[Any]) -> str:
    kinds = {"f": "fractional numbers", "U": "strings", "S": "bytes", "c": "complex numbers"}
    if raw.dtype.kind == "b":
        return "booleans"
    if raw.dtype.kind in kinds:
        return kinds[raw.dtype.kind]
    numbers = int | float | np.integer | np.floating
    strange = next((item for item in raw.flat if not isinstance(item, numbers)), raw.flat[0])
    return f"{type(strange).__name__} objects"


def _strings(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, DeviceArray):
        value = value.source
    if isinstance(value, bytearray | memoryview):  # numpy would see a row of numbers
        value = bytes(value)
    # dtype=object from the start: numpy's own "S" strings lose trailing zero bytes.
    try:
        raw = np.array(value, dtype=object)
    except (ValueError, TypeError, RuntimeError) as error:
        raise Unfit(f"is no array of strings: {error}") from error
    array = np.empty(raw.shape, dtype=object)
    flat = array.reshape(-1)
    for position, item in enumerate(raw.flat):
        if isinstance(item, str):
            flat[position] = item.encode()
        elif isinstance(item, bytes):
            flat[position] = bytes(item)
        elif isinstance(item, os.PathLike):
            flat[position] = _content(item)
        else:
            raise Unfit(f"{_found(value, item)}; BYTES takes str and bytes{_FILE}")
    return array


def _content(path: os.PathLike[Any]) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise Unfit(f"names a file that cannot be read: {error}") from error


_FILE = ", such as those of a whole file: Path(...), or Path(...).read_bytes()"


def _found(value: Any, item: Any) -> str:
    """What the caller passed: numpy takes an image apart into the numbers of its pixels."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    if hasattr(value, "__array_interface__") and not isinstance(value, np.generic | np.ndarray):
        return f"holds an object of type {type(value).__name__}"
    return f"holds {type(item).__name__} {item!r:.40}"
