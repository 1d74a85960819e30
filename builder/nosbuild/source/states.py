"""A spec whose tensors are known goes in; its first states come out, or what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec


def initial_states(spec: ModelSpec) -> dict[str, np.ndarray]:
    """What the states of a sequence hold before its first request, by input, for one item.

    Zeros and empty strings, as config.pbtxt tells Triton; of size 1 on every axis that varies,
    because that is where Triton begins.
    """
    inputs = spec.inputs or {}
    return {name: _zeros(inputs[name]) for name in spec.state}


def check_states(spec: ModelSpec) -> None:
    """Look whether Triton can keep the states, whose names and dtypes the spec has checked.

    Raises:
        SpecError: one has no axis beside the batch, or an axis that cannot begin at 1.
    """
    inputs = spec.inputs or {}
    for name in spec.state:
        tensor = inputs[name]
        if spec.is_batched and not tensor.item_shape:
            raise spec.error(
                ("state", name),
                f"{tensor.declaration} has no axis beside the batch, which Triton's states need",
                f"give it one of size 1: {tensor.dtype.name}[batch, 1]",
            )
        for dim in tensor.item_shape:
            if isinstance(dim, str) and (span := spec.dim_range(dim)).min != 1:
                raise spec.error(
                    ("dims", dim),
                    f"{span} does not start at 1, where Triton begins a state that varies",
                    f"write 1..{span.typical}..{span.max}",
                )


def _zeros(tensor: TensorSpec) -> np.ndarray:
    shape = tuple(dim if isinstance(dim, int) else 1 for dim in tensor.item_shape)
    if tensor.dtype.name == "string":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, tensor.dtype.numpy)
