"""A batch's answer and the answers of its items alone go in; the same without padding comes out.

Outputs that ``pad`` names may be larger in a batch than alone: what an item alone does not have is
padding. It is compared exactly, and left out of what metrics see, which it would only blur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.errors import Refused
from nosbuild.spec.padding import PadValue, padded_outputs

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.tensors import TensorSpec


class Padding:
    """Which outputs are filled up, along which axes, and with what; false where none is."""

    def __init__(self, pad: Mapping[str, PadValue], outputs: Sequence[TensorSpec]) -> None:
        self._values = padded_outputs(pad, outputs)
        self._fixed = {
            tensor.name: [axis for axis in range(len(tensor.shape)) if axis not in _growing(tensor)]
            for tensor in outputs
            if tensor.name in self._values
        }

    def __bool__(self) -> bool:
        return bool(self._values)

    def are_alike(self, answer: Arrays, other: Arrays) -> bool:
        """Whether two items, answered so without the batch axis, can be rows of one answer."""
        return all(
            array.shape == other[name].shape
            or (name in self._values and self._grows(name, array[None], other[name][None]))
            for name, array in answer.items()
        )

    def removed(self, found: Arrays, own: Arrays, sample: int, batch: int) -> Arrays:
        """``found`` in the shapes of ``own``, where it holds nothing more than padding.

        Args:
            found: outputs of a request, with the batch axis.
            own: what is expected, likewise. What differs in more than padding stays as it is.
            sample: whose answer it is.
            batch: rows that ran together.

        Raises:
            Refused: something else than the value of ``pad`` stands there.
        """
        return {
            name: self._cut(name, array, own[name].shape, sample, batch)
            if name in self._values and name in own
            else array
            for name, array in found.items()
        }

    def _cut(
        self, name: str, array: np.ndarray, shape: tuple[int, ...], sample: int, batch: int
    ) -> np.ndarray:
        larger = array.ndim == len(shape) and all(map(int.__ge__, array.shape, shape))
        if array.shape == shape or not larger or not self._may_be(name, array.shape, shape):
            return array
        is_padding = np.ones(array.shape, dtype=bool)
        inner = tuple(map(slice, shape))
        is_padding[inner] = False
        value = self._values[name]
        wrong = is_padding & ~_equal(array, value)
        if wrong.any():
            where = np.unravel_index(int(wrong.argmax()), wrong.shape)
            raise Refused(
                f"{name} has shape {list(array.shape)} for sample {sample} in a batch of {batch} "
                f"and {list(shape)} alone; what is more must be padding, but holds "
                f"{np.asarray(array[where]).item()!r}, and pad says {value!r}",
                f"Write under pad what the class fills {name} up with.",
            )
        return array[inner]

    def _grows(self, name: str, array: np.ndarray, other: np.ndarray) -> bool:
        return array.ndim == other.ndim and self._may_be(name, array.shape, other.shape)

    def _may_be(self, name: str, shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return all(shape[axis] == other[axis] for axis in self._fixed[name])


def _growing(tensor: TensorSpec) -> set[int]:
    return set(tensor.axes) - {0}


def _equal(array: np.ndarray, value: PadValue) -> np.ndarray:
    """Where the array holds the value, as its dtype has it."""
    if array.dtype == object:
        texts = (value, str(value).encode())
        return np.array([one in texts for one in array.flat], dtype=bool).reshape(array.shape)
    if array.dtype.kind == "f":
        expected = np.asarray(value, dtype=array.dtype)
        return np.asarray((array == expected) | (np.isnan(array) & np.isnan(expected)))
    return np.asarray(array == value)
