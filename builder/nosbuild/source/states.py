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
        SpecError: one has no axis beside the batch, or an axis that cannot begin at 1; or inputs
            and outputs do not sort alike.
    """
    inputs = spec.inputs or {}
    _check_order(spec)
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


def _check_order(spec: ModelSpec) -> None:
    """Triton's core pairs the n-th input with the n-th output, each by alphabet, whatever the
    config says (``SequenceStates::OutputState`` in its sequence_state.cc, as of 2026).
    """
    pairs = zip(sorted(spec.state), sorted(spec.state.values()), strict=True)
    for name, paired in pairs:
        if spec.state[name] != paired:
            raise spec.error(
                ("state", name),
                f"Triton's C++ backends would give it {paired!r}: they pair the inputs and the "
                "outputs of all states in the order of the alphabet",
                "name the outputs so that they sort as the inputs do: next_<input> always does",
            )


def _zeros(tensor: TensorSpec) -> np.ndarray:
    shape = tuple(dim if isinstance(dim, int) else 1 for dim in tensor.item_shape)
    if tensor.dtype.name == "string":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, tensor.dtype.numpy)
