"""A 16-bit type and a float32 graph go in; which nodes can compute in it, and why not, come out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto

from nosbuild.errors import InputError, Refused
from nosbuild.optimize.observing import FLOAT
from nosbuild.optimize.operator_schemas import inputs_may_be, outputs_may_be
from nosbuild.optimize.source_graph import (
    DEFAULT_DOMAINS,
    array_of,
    bodies,
    constants,
    opset_of,
    read_by,
)

TYPED_BY_ATTRIBUTE = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}
)
"""Their ``dtype`` attribute says what they make; they stay as they are."""


HEAVY = frozenset(
    {"Conv", "ConvTranspose", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "LSTM", "GRU"}
)
"""Where the time goes; 16 bits around them, but not in them, would only add Casts."""


@dataclass(frozen=True)
class HalfType:
    """One 16-bit type."""

    name: str
    kind: str
    onnx: int
    numpy: np.dtype
    largest: float
    smallest: float
    """Of the numbers above zero."""


FLOAT16 = HalfType(
    "fp16", "tensor(float16)", TensorProto.FLOAT16, np.dtype(np.float16), 65504.0, 2.0**-24
)
BFLOAT16 = HalfType(
    "bf16",
    "tensor(bfloat16)",
    TensorProto.BFLOAT16,
    np.dtype(ml_dtypes.bfloat16),
    (2.0 - 2.0**-7) * 2.0**127,
    2.0**-133,
)


@dataclass(frozen=True)
class Choice:
    """Which nodes compute in 16 bits, and why others cannot."""

    half: tuple[str, ...]
    too_large: tuple[str, ...] = ()
    """Read a constant beyond the type's range; it would become infinite."""
    too_small: tuple[str, ...] = ()
    """Read a constant so small that it would become zero, such as an epsilon to divide by."""
    fixed: tuple[str, ...] = ()
    """Compute with floats, by an operator that has no 16-bit form."""
    light_only: tuple[str, ...] = ()
    """The heavy operators among those, where no heavy one is left to convert."""


def choose(model: onnx.ModelProto, half: HalfType, types: dict[str, str]) -> Choice:
    """Sort the nodes that make or read floats."""
    opset = opset_of(model)
    weights = constants(model)
    chosen, large, small, fixed = [], [], [], []
    for node in model.graph.node:
        floats = [name for name in (*read_by(node), *node.output) if types.get(name) == FLOAT]
        if node.op_type == "Constant" or not floats:
            continue
        if not _has_form(node, opset, half, types):
            fixed.append(node.name)
            continue
        problem = _range_problem(node, weights, half, types)
        if problem == "large":
            large.append(node.name)
        elif problem == "small":
            small.append(node.name)
        elif node.op_type != "Cast" or types.get(node.output[0]) == FLOAT:
            chosen.append(node.name)
    return Choice(
        tuple(chosen), tuple(large), tuple(small), tuple(fixed), _light_only(model, chosen, fixed)
    )


def _light_only(
    model: onnx.ModelProto, chosen: Collection[str], fixed: Collection[str]
) -> tuple[str, ...]:
    heavy = {node.name: node.op_type for node in model.graph.node if node.op_type in HEAVY}
    if any(name in heavy for name in chosen):
        return ()
    return tuple(sorted({heavy[name] for name in fixed if name in heavy}))


def check_keep(keep: Collection[str], model: onnx.ModelProto) -> None:
    """Raise InputError for a name in ``keep`` that no node has."""
    strangers = sorted(set(keep) - {node.name for node in model.graph.node})
    if strangers:
        raise InputError(
            f"there is no node named {', '.join(strangers[:5])} to keep",
            "Name nodes as candidates() lists them.",
        )


def nothing_to_convert(half: HalfType, choice: Choice) -> Refused:
    """Why no node is left, or none that is worth it."""
    if choice.light_only:
        why = f"{', '.join(choice.light_only)} of this opset have no 16-bit form"
    elif choice.fixed and not (choice.too_large or choice.too_small or choice.half):
        why = "none of its operators has a 16-bit form"
    elif choice.too_large and not choice.half:
        why = f"its constants are beyond the range of {half.name} ({half.largest:g})"
    elif choice.half:
        why = "every node that could be converted is kept in fp32"
    else:
        why = "it holds no float32 computation"
    return Refused(f"{half.name}: nothing to convert: {why}", "Publish it in fp32.")


def _has_form(node: onnx.NodeProto, opset: int, half: HalfType, types: dict[str, str]) -> bool:
    if bodies(node) or (node.op_type in TYPED_BY_ATTRIBUTE and node.domain in DEFAULT_DOMAINS):
        return False
    makes = [name for name in node.output if types.get(name) == FLOAT]
    reads = [name for name in node.input if types.get(name) == FLOAT]
    inputs = inputs_may_be(node, opset, half.kind)
    outputs = outputs_may_be(node, opset, half.kind)
    if inputs is None or outputs is None:
        return False
    some_input = any(may for may, name in zip(inputs, node.input, strict=True) if name in reads)
    every_output = all(may for may, name in zip(outputs, node.output, strict=True) if name in makes)
    return every_output and (some_input or (bool(makes) and not reads))


def _range_problem(
    node: onnx.NodeProto,
    weights: dict[str, TensorProto],
    half: HalfType,
    types: dict[str, str],
) -> str:
    for name in node.input:
        tensor = weights.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            continue
        sizes = np.abs(array_of(tensor))
        if sizes.max(initial=0.0, where=np.isfinite(sizes)) > half.largest:
            return "large"
        # Among many weights the tiny ones do no harm; alone, it is what keeps a divisor from zero.
        if sizes.size == 1 and 0 < float(sizes.reshape(())) < half.smallest:
            return "small"
    return ""
