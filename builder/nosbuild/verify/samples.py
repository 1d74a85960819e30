"""A spec's ``samples`` goes in; checked items (no batch axis), and batches of them, come out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import SampleError
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.references import call, load_callable
from nosbuild.source.sizes import sizes_to_check
from nosbuild.tensors import BATCH, TensorSpec, is_batched
from nosbuild.verify.sample_item import Item, checked_item, is_meant

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

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


def load_samples(
    spec: ModelSpec, inputs: Sequence[TensorSpec], elsewhere: Collection[str] = ()
) -> Samples:
    """Call the spec's sample function, or draw seeded random items at several sizes.

    Args:
        spec: names the function, and the ranges of the axes.
        inputs: what an item must hold; it may leave out the optional ones.
        elsewhere: inputs that other methods of the same class take: an item without all that is
            needed here is one of theirs.

    Raises:
        SampleError: it raises, yields nothing, or yields items that do not fit the inputs; or
            there is none, and nothing tells what to draw.
    """
    if spec.samples is None:
        # The default of what is optional is the model's own typical value.
        drawn = [tensor for tensor in inputs if not tensor.optional] or inputs
        _check_drawable(spec, drawn)
        return Samples(tuple(_random_items(spec, drawn)), real=False)
    what = f"samples: {spec.samples}"
    function = load_callable(spec.samples, spec.folder, SampleError)
    found = call(
        lambda: list(islice(_iterate(function()), MOST_ITEMS)), what, spec.folder, SampleError
    )
    if not found:
        raise SampleError(f"{what} yielded no sample", "Yield at least one dict of arrays.")
    items = [
        checked_item(item, f"{what}, item {index}", spec, inputs, elsewhere)
        for index, item in enumerate(found)
        if is_meant(item, inputs, elsewhere)
    ]
    if not items:
        needed = ", ".join(tensor.name for tensor in inputs if not tensor.optional)
        raise SampleError(
            f"{what} yields no item for {spec.name}, which takes {needed}",
            "Yield some with these names: every method is proven on its own.",
        )
    return Samples(tuple(items), real=True)


def _iterate(result: Any) -> Iterable[Any]:
    if isinstance(result, Mapping) or not isinstance(result, Iterable):
        raise SampleError(
            f"the sample function returned a {type(result).__name__}",
            "Return a list (or yield) dicts of input name -> array, one dict for each item.",
        )
    return result


def _check_drawable(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> None:
    for tensor in inputs:
        for axis in tensor.axes.values():
            if axis != BATCH and axis not in spec.dims:
                raise SampleError(
                    f"{spec.file}: nothing tells how long the axis {axis!r} of {tensor.name} is, "
                    "so no inputs can be drawn",
                    "Name real inputs (samples: samples.py:samples), or give the axis a range: "
                    f"dims: {{{axis}: 1..32..256}}.",
                )


def _random_items(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> Iterator[Item]:
    batched = is_batched(inputs)
    # One item says little of a class: a word may be the empty one.
    repeats = RANDOM_ITEMS if spec.source.kind == "python" and not batched else 1
    for seed, sizes in enumerate(sizes_to_check(spec, inputs)):
        count = RANDOM_ITEMS if batched else 1
        for repeat in range(repeats):
            drawn = random_inputs(inputs, {**sizes, BATCH: count}, seed=seed * repeats + repeat)
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
    groups: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for index, item in enumerate(items):
        key = tuple((name, array.shape) for name, array in item.items())
        groups.setdefault(key, []).append(index)
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
