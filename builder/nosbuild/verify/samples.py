"""A spec's ``samples`` goes in; checked items (no batch axis), and batches of them, come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import SampleError
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.references import call, load_callable
from nosbuild.source.sizes import sizes_to_check
from nosbuild.tensors import BATCH, TensorSpec, is_batched

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

Item = dict[str, np.ndarray]

MOST_ITEMS = 4096
"""An endless generator is cut here."""
RANDOM_ITEMS = 8
"""Items drawn at each size where a spec names no samples."""


@dataclass(frozen=True)
class Samples:
    """Items to prove a model on; ``real`` is False where they had to be drawn at random."""

    items: tuple[Item, ...]
    real: bool


@dataclass(frozen=True)
class Batch:
    """Items of one shape joined along the batch axis; ``indices[row]`` is the item of that row."""

    indices: tuple[int, ...]
    inputs: dict[str, np.ndarray]


def load_samples(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> Samples:
    """Call the spec's sample function, or draw seeded random items at several sizes.

    Raises:
        SampleError: it raises, yields nothing, or yields items that do not fit the inputs.
    """
    if spec.samples is None:
        return Samples(tuple(_random_items(spec, inputs)), real=False)
    what = f"samples: {spec.samples}"
    function = load_callable(spec.samples, spec.folder, SampleError)
    found = call(
        lambda: list(islice(_iterate(function()), MOST_ITEMS)), what, spec.folder, SampleError
    )
    if not found:
        raise SampleError(f"{what} yielded no sample", "Yield at least one dict of arrays.")
    items = [_checked(item, index, what, spec, inputs) for index, item in enumerate(found)]
    return Samples(tuple(items), real=True)


def _iterate(result: Any) -> Iterable[Any]:
    if isinstance(result, Mapping) or not isinstance(result, Iterable):
        raise SampleError(
            f"the sample function returned a {type(result).__name__}",
            "Return a list (or yield) dicts of input name -> array, one dict for each item.",
        )
    return result


def _checked(
    item: Any, index: int, what: str, spec: ModelSpec, inputs: Sequence[TensorSpec]
) -> Item:
    where = f"{what}, item {index}"
    names = [tensor.name for tensor in inputs]
    if not isinstance(item, Mapping) or set(item) != set(names):
        found = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
        raise SampleError(
            f"{where} holds {found or 'nothing'}, the inputs are {', '.join(names)}",
            "Yield a dict with exactly these names.",
        )
    checked: Item = {}
    sizes: dict[str, int] = {}
    for tensor in inputs:
        array = _as_array(item[tensor.name], tensor, where)
        checked[tensor.name] = _cast(array, tensor, where)
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
    span = spec.dim_range(dim)
    if not span.min <= size <= span.max or size % span.step:
        raise SampleError(
            f"{where}: {tensor.name} has {dim}={size}, but dims.{dim} is {span}",
            f"Yield items within that range, or widen dims.{dim}.",
        )
    if sizes.setdefault(dim, size) != size:
        raise SampleError(
            f"{where}: {tensor.name} has {dim}={size}, another input has {dim}={sizes[dim]}",
            "Axes of one name have one size within an item.",
        )


def _as_array(value: Any, tensor: TensorSpec, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as exc:
        raise SampleError(
            f"{where}: {tensor.name} is a {type(value).__name__} that is no array: {exc}",
            f"Yield a numpy array of shape {list(tensor.item_shape)}.",
        ) from exc


def _cast(array: np.ndarray, tensor: TensorSpec, where: str) -> np.ndarray:
    if tensor.dtype.name == "string":
        strangers = [type(value).__name__ for value in array.flat if not isinstance(value, str)]
        if strangers:
            raise SampleError(
                f"{where}: {tensor.name} holds {strangers[0]}, declared is string",
                "Yield Python strings, or an array of them.",
            )
        return array.astype(object)
    if array.dtype != tensor.dtype.numpy:
        raise SampleError(
            f"{where}: {tensor.name} is {array.dtype}, declared is {tensor.dtype.name}",
            f"Yield {tensor.name}.astype(np.{tensor.dtype.name}).",
        )
    return array


def _random_items(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> Iterator[Item]:
    batched = is_batched(inputs)
    for seed, sizes in enumerate(sizes_to_check(spec, inputs)):
        count = RANDOM_ITEMS if batched else 1
        drawn = random_inputs(inputs, {**sizes, BATCH: count}, seed=seed)
        if not batched:
            yield drawn
            continue
        for row in range(count):
            yield {name: array[row, ...] for name, array in drawn.items()}


def batches(items: Sequence[Item], size: int, *, every_shape: bool) -> Iterator[Batch]:
    """Items of equal shape joined ``size`` at a time; items are repeated to fill the last one.

    Args:
        items: items without the batch axis.
        size: rows in every batch.
        every_shape: batch each shape there is; otherwise only the most frequent and the largest.
    """
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(tuple(array.shape for array in item.values()), []).append(index)
    chosen = list(groups.values())
    if not every_shape and len(chosen) > 1:
        volume = {id(group): sum(a.size for a in items[group[0]].values()) for group in chosen}
        most = max(chosen, key=len)
        largest = max(chosen, key=lambda group: volume[id(group)])
        chosen = [most] if most is largest else [most, largest]
    for group in chosen:
        for start in range(0, len(group), size):
            indices = [group[(start + row) % len(group)] for row in range(size)]
            yield join(items, indices)


def join(items: Sequence[Item], indices: Sequence[int]) -> Batch:
    """The items at ``indices``, which must have one shape, as one batch."""
    names = items[indices[0]]
    arrays = {name: np.stack([items[index][name] for index in indices]) for name in names}
    return Batch(tuple(indices), arrays)
