"""Operators to add to an ONNX graph go in; the values they make come out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LOWEST = float(np.finfo(np.float32).min)
"""Of float32: as good as -inf beside any other score, but never NaN."""


class Writer:
    """Adds nodes before a place; what several places need alike is made once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.opset = graph.opset_imports.get("", 0)
        self._made: dict[Hashable, ir.Value] = {}
        self._place: ir.Node | None = None

    def at(self, place: ir.Node) -> None:
        """Add before this node from now on."""
        self._place = place

    def add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, int | float | Sequence[int]] | None = None,
        *,
        domain: str = "",
        like: ir.Value | None = None,
    ) -> ir.Value:
        """A node's only output, of the type and shape of ``like``; equal nodes are one node."""
        attributes = attributes or {}
        names = tuple(value.name if value is not None else "" for value in inputs)
        key = (domain, op_type, names, repr(sorted(attributes.items())))
        if key in self._made:
            return self._made[key]
        assert self._place is not None
        node = ir.node(op_type, inputs, dict(attributes), domain=domain)
        self.graph.insert_before(self._place, node)
        made: ir.Value = node.outputs[0]
        if like is not None:
            made.type, made.shape = like.type, like.shape
        self._made[key] = made
        return made

    def constant(self, content: ArrayLike, dtype: type[np.generic]) -> ir.Value:
        """An initializer; equal ones are one."""
        array = np.asarray(content, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            taken = self.graph.initializers
            name = next(
                n for n in (f"nosbuild_{i}" for i in range(len(taken) + 1)) if n not in taken
            )
            value = ir.Value(
                name=name,
                shape=ir.Shape(array.shape),
                type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
                const_value=ir.tensor(array, name=name),
            )
            self.graph.register_initializer(value)
            self._made[key] = value
        return self._made[key]

    def reduce(self, op_type: str, value: ir.Value, axis: int) -> ir.Value:
        """Over one axis, which stays with size 1."""
        if op_type == "ReduceSum" or self.opset >= 18:
            return self.add(op_type, [value, self.constant([axis], np.int64)], {"keepdims": 1})
        return self.add(op_type, [value], {"axes": [axis], "keepdims": 1})


def replace(old: ir.Value, new: ir.Value) -> None:
    """Let every reader of ``old`` read ``new``, and tell of it what was known."""
    new.type = new.type or old.type
    new.shape = new.shape or old.shape
    ir.convenience.replace_all_uses_with(old, new)


def tidy(model: ir.Model) -> None:
    """Bring the nodes into an order, and take out what nothing reads any more."""
    model.graph.sort()
    RemoveUnusedNodesPass()(model)
