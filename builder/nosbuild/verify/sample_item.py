"""What a sample function yields goes in; a checked item, without the batch axis, comes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import SampleError
from nosbuild.source.texts import as_text

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec

Item = dict[str, np.ndarray]

_PLAIN_VALUES = ("python", "pipeline")
"""Kinds of source whose users think in values rather than arrays."""


def is_meant(item: Any, inputs: Sequence[TensorSpec], elsewhere: Collection[str]) -> bool:
    """False for an item of another method of the same class; what is broken is judged later."""
    if not elsewhere or not isinstance(item, Mapping):
        return True
    return all(tensor.optional or tensor.name in item for tensor in inputs)


def checked_item(
    item: Any,
    where: str,
    spec: ModelSpec,
    inputs: Sequence[TensorSpec],
    elsewhere: Collection[str] = (),
) -> Item:
    """One item as arrays, in the order of the inputs.

    Args:
        item: as the sample function yielded it.
        where: to name in errors.
        spec: with the ranges of the axes; inputs of Python classes and pipelines may be plain
            values, bytes and images.
        inputs: what it must hold.
        elsewhere: names that other methods take, which are left out.

    Raises:
        SampleError: it does not fit.
    """
    names = [tensor.name for tensor in inputs]
    needed = {tensor.name for tensor in inputs if not tensor.optional}
    known = {*names, *elsewhere}
    if not isinstance(item, Mapping) or not needed <= set(item) <= known:
        found = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
        raise SampleError(
            f"{where} holds {found or 'nothing'}, the inputs are {', '.join(names)}",
            "Yield a dict with exactly these names."
            if len(needed) == len(known)
            else f"Yield a dict with these names, {', '.join(sorted(needed))} at least.",
        )
    plain = spec.source.kind in _PLAIN_VALUES
    checked: Item = {}
    sizes: dict[str, int] = {}
    for tensor in inputs:
        if tensor.name not in item:
            continue
        array = _as_array(item[tensor.name], tensor, where, plain)
        checked[tensor.name] = _cast(array, tensor, where, plain)
        problem = tensor.mismatch(array.shape, item=True)
        if problem:
            raise SampleError(
                f"{where}: {tensor.name} {problem}",
                "A sample is one item, without the batch axis."
                if tensor.is_batched
                else "Yield arrays of the declared shape.",
            )
        for dim, size in zip(tensor.item_shape, array.shape, strict=True):
            if isinstance(dim, str):
                _check_size(where, tensor, dim, size, sizes, spec)
    return checked


def _check_size(
    where: str, tensor: TensorSpec, dim: str, size: int, sizes: dict[str, int], spec: ModelSpec
) -> None:
    span = spec.dims.get(dim)  # axes of a Python class may have none
    if span and (not span.min <= size <= span.max or size % span.step):
        raise SampleError(
            f"{where}: {tensor.name} has {dim}={size}, but dims.{dim} is {span}",
            f"Yield items within that range, or widen dims.{dim}.",
        )
    if sizes.setdefault(dim, size) != size:
        raise SampleError(
            f"{where}: {tensor.name} has {dim}={size}, another input has {dim}={sizes[dim]}",
            "Axes of one name have one size within an item.",
        )


def _as_array(value: Any, tensor: TensorSpec, where: str, plain: bool) -> np.ndarray:
    try:
        if not plain or isinstance(value, (np.ndarray, np.generic)):
            return np.asarray(value)
        if tensor.dtype.name == "string":
            return np.array(_image_bytes(value), dtype=object)
        array = np.asarray(value)
        # A plain number has no dtype of its own.
        if np.can_cast(array.dtype, tensor.dtype.numpy, "same_kind"):
            return array.astype(tensor.dtype.numpy)
    except (ValueError, TypeError, RuntimeError) as exc:
        raise SampleError(
            f"{where}: {tensor.name} is a {type(value).__name__} that is no array: {exc}",
            f"Yield a numpy array of shape {list(tensor.item_shape)}.",
        ) from exc
    return array


def _image_bytes(value: Any) -> Any:
    """The PNG file of an image; any other value as it is."""
    if not any(f"{c.__module__}.{c.__name__}" == "PIL.Image.Image" for c in type(value).__mro__):
        return value
    file = BytesIO()
    value.save(file, "PNG")
    return file.getvalue()


def _cast(array: np.ndarray, tensor: TensorSpec, where: str, plain: bool) -> np.ndarray:
    if tensor.dtype.name == "string":
        texts = (str, bytes) if plain else (str,)
        strangers = [type(value).__name__ for value in array.flat if not isinstance(value, texts)]
        if strangers:
            raise SampleError(
                f"{where}: {tensor.name} holds {strangers[0]}, declared is string",
                "Yield Python strings, or bytes (an image: its file's)."
                if plain
                else "Yield Python strings, or an array of them.",
            )
        return as_text(array.astype(object))
    if array.dtype != tensor.dtype.numpy:
        raise SampleError(
            f"{where}: {tensor.name} is {array.dtype}, declared is {tensor.dtype.name}",
            f"Yield {tensor.name}.astype(np.{tensor.dtype.name}).",
        )
    return array
