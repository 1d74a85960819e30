"""An ONNX model goes in; the same with exactly the declared inputs and outputs comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import onnx_ir as ir

from nosbuild.errors import ExportError
from nosbuild.tensors import TensorSpec

if TYPE_CHECKING:
    Values = Sequence[ir.Value]


def placeholder_names(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[list[str], list[str]]:
    """Names for an exporter to use that nothing else in a graph bears."""
    return (
        [f"nosbuild_input_{index}" for index in range(len(inputs))],
        [f"nosbuild_output_{index}" for index in range(len(outputs))],
    )


def declare(model: ir.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Give the graph's inputs and outputs, in their order, the declared names and axes, in place.

    Inner values that bear a declared name make way. An output that is an input itself, or that
    stands twice, gets an Identity, because ONNX wants a name of its own for each.

    Raises:
        ExportError: another number of tensors than declared (an unused input was dropped).
    """
    graph = model.graph
    for section, tensors, values in (
        ("inputs", inputs, graph.inputs),
        ("outputs", outputs, graph.outputs),
    ):
        if len(tensors) != len(values):
            raise ExportError(
                f"the export has {len(values)} {section} "
                f"({', '.join(value.name or '?' for value in values)}), the spec declares "
                f"{len(tensors)} ({', '.join(tensor.name for tensor in tensors)})",
                "Declare only tensors that the model really uses.",
            )
    _separate_outputs(graph)
    taken = {tensor.name for tensor in (*inputs, *outputs)}
    public = {id(value) for value in (*graph.inputs, *graph.outputs)}
    inner = [value for value in _all_values(graph) if id(value) not in public]
    used = taken | {value.name for value in inner}
    for value in inner:
        if value.name in taken:
            value.name = _unused(value.name, used)
            used.add(value.name)
    _rename(graph.inputs, inputs)
    _rename(graph.outputs, outputs)


def _unused(name: str, used: set[str | None]) -> str:
    """``name__inner``, or with a number where that is taken too."""
    candidates = (f"{name}__inner{index or ''}" for index in count())
    return next(candidate for candidate in candidates if candidate not in used)


def _rename(values: Values, tensors: Sequence[TensorSpec]) -> None:
    for index, value in enumerate(values):  # out of the way first: names may be swapped
        value.name = f"nosbuild_renaming_{id(values)}_{index}"
    for value, tensor in zip(values, tensors, strict=True):
        value.name = tensor.name
        value.shape = ir.Shape(tensor.shape)


def _separate_outputs(graph: ir.Graph) -> None:
    seen = {id(value) for value in graph.inputs}
    for index, value in enumerate(graph.outputs):
        if id(value) in seen or value.is_initializer():
            node = ir.node("Identity", inputs=[value])
            node.outputs[0].type = value.type
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
        seen.add(id(graph.outputs[index]))


def _all_values(graph: ir.Graph) -> Iterator[ir.Value]:
    """Every value of a graph and of the graphs within (If, Loop, Scan)."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                inner = attribute.as_graph()
                yield from inner.inputs
                yield from inner.initializers.values()
