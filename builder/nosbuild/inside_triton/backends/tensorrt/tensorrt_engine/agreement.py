"""What config.pbtxt declares and what an engine has go in; every difference comes out in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .shapes import Profile

Declared = Mapping[str, tuple[str, list[int]]]
"""Tensor -> Triton's data type (``TYPE_FP32``) and its dims without the batch axis."""

_NUMPY = {
    "TYPE_BOOL": "bool",
    "TYPE_UINT8": "uint8",
    "TYPE_INT8": "int8",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
}
"""What TensorRT has of numpy's types."""


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine; -1 for an axis that varies."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Engine(Protocol):
    """What is asked of a session."""

    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    profiles: tuple[Profile, ...]


def disagreements(engine: Engine, inputs: Declared, outputs: Declared, largest: int) -> list[str]:
    """Everything that would fail later, request by request.

    Args:
        engine: what there is.
        inputs: as declared.
        outputs: likewise.
        largest: ``max_batch_size``.
    """
    undeclared = sorted({tensor.name for tensor in engine.inputs} - set(inputs))
    return [
        *(f"input {name!r} of the engine is not declared" for name in undeclared),
        *_of_kind("input", inputs, engine.inputs, largest),
        *_of_kind("output", outputs, engine.outputs, largest),
        *_batch_limits(engine, largest),
    ]


def _of_kind(
    kind: str, declared: Declared, tensors: Sequence[EngineTensor], largest: int
) -> Iterator[str]:
    by_name = {tensor.name: tensor for tensor in tensors}
    for name, (data_type, dims) in declared.items():
        tensor = by_name.get(name)
        if tensor is None:
            has = ", ".join(repr(other) for other in by_name)
            yield f"{kind} {name!r} is not in the engine, which has {has}"
            continue
        if _NUMPY.get(data_type) != tensor.dtype.name:
            yield f"{kind} {name!r} is declared {data_type} but is {tensor.dtype.name}"
        shape = [-1] * (largest > 0) + dims
        if not tensor.shape and largest == 0 and all(dim == 1 for dim in shape):
            continue  # Triton has no tensors without axes: they are declared as [1]
        if not _fits(shape, tensor.shape):
            yield f"{kind} {name!r} is declared with shape {shape} but has {list(tensor.shape)}"


def _fits(declared: Sequence[int], shape: Sequence[int]) -> bool:
    """-1 may stand for any size on either side."""
    return len(declared) == len(shape) and all(
        -1 in (ours, theirs) or ours == theirs for ours, theirs in zip(declared, shape, strict=True)
    )


def _batch_limits(engine: Engine, largest: int) -> Iterator[str]:
    """Every batch from one to max_batch_size must find a profile."""
    for size in range(1, largest + 1):
        for tensor in engine.inputs:
            spans = [profile[tensor.name] for profile in engine.profiles]
            if tensor.shape and not any(span.min[0] <= size <= span.max[0] for span in spans):
                taken = " or ".join(f"{span.min[0]} to {span.max[0]}" for span in spans)
                sent = f"Triton sends batches of 1 to {largest}"
                yield f"{sent}, and input {tensor.name!r} takes {taken}"
                return
