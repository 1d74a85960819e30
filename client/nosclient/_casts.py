"""An array of some dtype in, one of the model's dtype out, or why the cast would lose something."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._model_info import TensorInfo

FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
_LOWER_HALF = np.uint32(0xFFFF)
"""Of a float32: what a bfloat16 does not have."""


class Unfit(Exception):
    """Why one value does not fit one input; wrapped with the input's name and the signature."""


def cast(
    info: TensorInfo, array: npt.NDArray[Any], strict: bool, library: str = "numpy"
) -> npt.NDArray[Any]:
    """The array itself where its dtype is the model's, else a cast copy.

    Args:
        info: the input.
        array: of numbers or booleans.
        strict: only casts that keep every value of the array's dtype. Otherwise also those to
            fewer bits of the same kind, and from integers to floats; integers that are out of range
            and floats that would become infinite are refused even so.
        library: that the caller's array is of, for what the message says to write.

    Raises:
        Unfit: the cast is not allowed.
    """
    target = info.dtype
    is_stand_in = info.datatype == "BF16" and target.itemsize == 4
    if array.dtype == target and not is_stand_in:
        return array
    # numpy calls (u)int64 -> float64 safe, though integers above 2**53 do not survive it.
    exact = not (array.dtype.kind in "iu" and array.dtype.itemsize == 8 and target.kind == "f")
    if exact and not is_stand_in and np.can_cast(array.dtype, target, "safe"):
        return array.astype(target)
    if info.datatype == "BF16" and array.dtype.newbyteorder("=") == np.float32:
        return _bfloat16_from_float32(array, target, strict, _written(info, library))
    taken = _takes(array.dtype, target)
    if taken and not strict:
        if target.kind in "iu":
            return integers(info, array)
        return floats(info, array)
    alone = "; a client made with strict=False does so by itself" if taken else ""
    raise Unfit(
        f"is {array.dtype}, the model takes {info.datatype}, and the cast can lose something: "
        f"pass {_written(info, library)} if that is meant{alone}"
    )


def integers(info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integers or booleans as the model's integers.

    Raises:
        Unfit: one is out of range.
    """
    target = info.dtype
    if array.size and array.dtype.kind != "b":
        limits = np.iinfo(target)
        lowest, highest = int(array.min()), int(array.max())
        if lowest < limits.min or highest > limits.max:
            worst = lowest if lowest < limits.min else highest
            raise Unfit(f"holds {worst}; {info.datatype} takes {limits.min} to {limits.max}")
    return array.astype(target)


def floats(info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers as the nearest of the model's floats.

    Raises:
        Unfit: one would become infinite.
    """
    target = info.dtype
    with np.errstate(over="ignore"):
        if info.datatype == "BF16":
            cast = _rounded_to_bfloat16(array.astype(np.float32), target)
        else:
            cast = array.astype(target)
        overflown = np.isinf(cast) & np.isfinite(array)
    if overflown.any():
        raise Unfit(f"holds {array[overflown].flat[0]}, too large for {info.datatype}")
    return cast


def bfloat16_from_bits(bits: npt.NDArray[np.uint16]) -> npt.NDArray[Any]:
    """bfloat16 values from their bits, in the dtype that stands for them: numpy has none."""
    stand_in = TensorInfo("", "BF16", ()).dtype
    if stand_in.itemsize == 2:
        return np.asarray(bits.view(stand_in))
    return np.asarray((bits.astype(np.uint32) << np.uint32(16)).view(np.float32))


def _bfloat16_from_float32(
    array: npt.NDArray[Any], target: np.dtype[Any], strict: bool, written: str
) -> npt.NDArray[Any]:
    """float32 is how values for a bfloat16 come to numpy: taken as it is where none is rounded."""
    rounded = _rounded_to_bfloat16(array, target)
    changed = (rounded.astype(np.float32) != array) & ~np.isnan(array)
    if strict:
        wrong, what = changed, f"BF16 cannot hold exactly: pass {written} if "
        what += "rounding is meant; a client made with strict=False does so by itself"
    else:
        wrong, what = changed & np.isinf(rounded), "is too large for BF16"
    if wrong.any():
        raise Unfit(f"holds {array[wrong].flat[0]}, which {what}")
    return rounded


def _rounded_to_bfloat16(array: npt.NDArray[Any], target: np.dtype[Any]) -> npt.NDArray[Any]:
    if target.itemsize == 2:
        with np.errstate(over="ignore"):
            rounded: npt.NDArray[Any] = array.astype(target)
            return rounded
    # An older tritonclient is given float32 and cuts its lower half off: round to even before.
    bits = np.asarray(array, dtype=np.float32, order="C").view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    kept = np.where(np.isnan(array), bits, (bits + half) & ~_LOWER_HALF)
    return kept.astype(np.uint32).view(np.float32)


def _takes(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether it is a cast within one kind, or from integers to floats."""
    if target.kind in "iu":
        return source.kind in "biu"
    return _is_float(target) and (source.kind in "biu" or _is_float(source))


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _written(info: TensorInfo, library: str) -> str:
    """The cast as it is written for an array of that library."""
    if library == "torch":
        return f".to(torch.{'bfloat16' if info.datatype == 'BF16' else info.dtype.name})"
    if info.datatype == "BF16":
        return ".astype(ml_dtypes.bfloat16)"
    return f".astype({'bool' if info.dtype.kind == 'b' else f'np.{info.dtype.name}'})"
