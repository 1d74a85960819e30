"""A float32 graph and nodes of it go in; the graph that computes these in 16 bits comes out.

A value is kept in the type of the node that makes it. Where a reader wants the other type, one
Cast stands between, shared by all such readers; so there are Casts at borders only. Weights are
stored in 16 bits unless a node kept in float32 reads them too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from nosbuild.optimize.half import HalfType
from nosbuild.optimize.observing import FLOAT
from nosbuild.optimize.operator_schemas import inputs_may_be
from nosbuild.optimize.source_graph import (
    array_of,
    constants,
    drop_unused_constants,
    lift_constants,
    opset_of,
    read_by,
    replace_nodes,
)


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
