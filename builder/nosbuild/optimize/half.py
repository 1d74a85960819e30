"""A float32 graph goes in; one that computes in 16 bits, with float32 at its borders, comes out.

A value is kept in the type of the node that makes it. Where a reader wants the other type, one
Cast stands between, shared by all such readers; so there are Casts at borders only. Weights are
stored in 16 bits unless a node kept in float32 reads them too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

from nosbuild.errors import InputError, Refused
from nosbuild.optimize.observing import FLOAT
from nosbuild.optimize.operator_schemas import inputs_may_be, outputs_may_be
from nosbuild.optimize.source_graph import (
    DEFAULT_DOMAINS,
    array_of,
    bodies,
    constants,
    drop_unused_constants,
    lift_constants,
    opset_of,
    read_by,
    replace_nodes,
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


def convert(
    model: onnx.ModelProto, half: HalfType, types: dict[str, str], nodes: Collection[str]
) -> onnx.ModelProto:
    """Let these nodes compute in 16 bits; all others, and the graph's own tensors, stay."""
    work = onnx.ModelProto()
    work.CopyFrom(model)
    lift_constants(work)
    writer = _Writer(work, half, types, frozenset(nodes))
    writer.rewrite()
    replace_nodes(work, writer.nodes)
    work.graph.initializer.extend(writer.weights)
    drop_unused_constants(work)
    del work.graph.value_info[:]  # they tell the types of before
    return work


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


@dataclass
class _Writer:
    """Rewrites the nodes of one graph, in order."""

    model: onnx.ModelProto
    half: HalfType
    types: dict[str, str]
    chosen: frozenset[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def rewrite(self) -> None:
        graph = self.model.graph
        self._constants = constants(self.model)
        self._outputs = {value.name for value in graph.output}
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= set(self._constants) | {value.name for value in graph.input}
        self._in_half: dict[str, str] = {}
        self._made_half: set[str] = set()
        full_readers = {
            name for node in graph.node if node.name not in self.chosen for name in read_by(node)
        }
        for original in graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            if node.name in self.chosen:
                self._to_half(node, full_readers)
            else:
                self.nodes.append(node)

    def _to_half(self, node: onnx.NodeProto, full_readers: set[str]) -> None:
        opset = opset_of(self.model)
        may = inputs_may_be(node, opset, self.half.kind) or []
        for index, name in enumerate(node.input):
            if name and may[index] and self.types.get(name) == FLOAT:
                node.input[index] = self._half_of(name)
        after = []
        for index, name in enumerate(node.output):
            if not name or self.types.get(name) != FLOAT:
                continue
            made = self._fresh(name)
            node.output[index] = made
            self._in_half[name] = made
            if name in full_readers or name in self._outputs:
                after.append(self._cast(made, name, TensorProto.FLOAT))
        self._retype(node)
        self.nodes.extend([node, *after])

    def _half_of(self, name: str) -> str:
        if name not in self._in_half:
            made = self._fresh(name)
            self._in_half[name] = made
            if name in self._constants:
                self.weights.append(self._stored(self._constants[name], made))
            else:
                self.nodes.append(self._cast(name, made, self.half.onnx))
        return self._in_half[name]

    def _stored(self, tensor: TensorProto, name: str) -> TensorProto:
        array = array_of(tensor)
        return helper.make_tensor(
            name, self.half.onnx, array.shape, array.astype(self.half.numpy).tobytes(), raw=True
        )

    def _cast(self, given: str, made: str, to: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [given], [made], name=f"{made}_cast", to=to)

    def _fresh(self, name: str) -> str:
        made = f"{name}_{self.half.name}"
        while made in self._taken:
            made += "_"
        self._taken.add(made)
        return made

    def _retype(self, node: onnx.NodeProto) -> None:
        """Some operators tell their type by an attribute."""
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = self.half.onnx
            elif node.op_type == "ConstantOfShape" and attribute.name == "value":
                attribute.t.CopyFrom(self._stored(attribute.t, attribute.t.name))
            elif node.op_type == "EyeLike" and attribute.name == "dtype":
                attribute.i = self.half.onnx
