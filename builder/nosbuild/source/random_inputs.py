"""Tensor declarations and sizes go in; seeded random arrays within sane ranges come out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nosbuild.tensors import TensorSpec

_WORDS = ("triton", "batch", "tensor", "model", "ünïcode", "")


def random_inputs(
    tensors: Iterable[TensorSpec], sizes: dict[str, int], seed: int = 0
) -> dict[str, np.ndarray]:
    """One array per tensor at the given axis sizes.

    Floats are standard normal, integers 0 or 1 (valid as masks and as indices), strings words;
    a declared ``range`` replaces that with a uniform draw from it, both ends included.
    """
    rng = np.random.default_rng(seed)
    return {tensor.name: _draw(rng, tensor, tensor.sized(sizes)) for tensor in tensors}


def _draw(rng: np.random.Generator, tensor: TensorSpec, shape: tuple[int, ...]) -> np.ndarray:
    dtype = tensor.dtype
    array: Any
    if dtype.name == "string":
        array = rng.choice(np.array(_WORDS, dtype=object), size=shape)
        return np.asarray(array, dtype=object)
    if dtype.name == "bool":
        return np.asarray(rng.integers(0, 2, size=shape)).astype(bool)
    if dtype.is_float:
        low_high = tensor.range
        array = rng.normal(size=shape) if low_high is None else rng.uniform(*low_high, size=shape)
    else:
        low, high = tensor.range or (0, 1)
        array = rng.integers(int(low), int(high) + 1, size=shape)
    return np.asarray(array).astype(dtype.numpy)
