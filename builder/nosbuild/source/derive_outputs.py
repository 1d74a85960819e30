"""A module and its inputs go in; the outputs it really gives, with their varying axes, come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from nosbuild.errors import SourceError
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.sizes import example_sizes, other_sizes
from nosbuild.source.torch_module import keyword_names
from nosbuild.tensors import Dim, TensorSpec, dtype_from_numpy

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def derive_outputs(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    spec: ModelSpec,
    names: tuple[str, ...] | None,
) -> tuple[TensorSpec, ...]:
    """Run at two sizes: an axis that changes bears the name of the input axis of that size.

    Args:
        module: returns a dict-like of tensors.
        inputs: its inputs.
        spec: gives the range of each axis.
        names: the outputs wanted; None for every tensor returned.

    Raises:
        SourceError: an output axis varies in a way that no input axis explains.
    """
    first, second = example_sizes(spec, inputs), other_sizes(spec, inputs)
    at_first, at_second = (_run(module, inputs, sizes) for sizes in (first, second))
    wanted = names or tuple(
        key for key, value in at_first.items() if isinstance(value, torch.Tensor)
    )
    return tuple(
        TensorSpec(
            name,
            dtype_from_numpy(at_first[name].numpy().dtype),
            tuple(
                _dim(name, a, b, first, second)
                for a, b in zip(at_first[name].shape, at_second[name].shape, strict=True)
            ),
        )
        for name in wanted
    )


def _run(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], sizes: dict[str, int]
) -> Mapping[str, Any]:
    arrays = random_inputs(inputs, sizes)
    names = [tensor.name for tensor in inputs]
    tensors = [torch.from_numpy(arrays[name]) for name in names]
    keywords = keyword_names(module, names)
    with torch.no_grad():
        result = (
            module(**dict(zip(keywords, tensors, strict=True))) if keywords else module(*tensors)
        )
    if not isinstance(result, Mapping):
        raise SourceError(
            f"{type(module).__name__} returns a {type(result).__name__}, whose names are unknown",
            "Declare outputs in the model.yaml.",
        )
    return result


def _dim(name: str, a: int, b: int, first: dict[str, int], second: dict[str, int]) -> Dim:
    if a == b:
        return a
    for axis, size in first.items():
        if size == a and second[axis] == b:
            return axis
    raise SourceError(
        f"an axis of output {name} is {a} at sizes {first} and {b} at {second}",
        "Declare outputs in the model.yaml, with a name of its own for that axis.",
    )
