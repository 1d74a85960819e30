"""An ONNX file and samples go in; the same function, easier to quantise to 8 bits, comes out.

Dynamic quantisation gives a tensor one scale, which its widest channel sets; in transformers a few
channels are a hundred times wider than the rest. Here each channel of what a MatMul reads is made
smaller and its row of the weights larger, which changes nothing in fp32 (SmoothQuant: Xiao et al.,
"Accurate and Efficient Post-Training Quantization for Large Language Models", 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from nosbuild.errors import Refused, SampleError
from nosbuild.export.saving import MODEL_FILE, save, settle
from nosbuild.optimize.graph_reading import constant, made_by
from nosbuild.optimize.graph_writing import tidy
from nosbuild.optimize.made import Made
from nosbuild.optimize.observing import Observer

if TYPE_CHECKING:
    from nosbuild.optimize.observing import Item

STRENGTH = 0.8
"""Share of the spread that goes into the weights, which have a scale per column."""
WIDE = 2.5
"""The widest channel beside the mean one; below this there is nothing to gain."""
SMALLEST = 1e-4
"""Least width of a channel beside the widest: a dead one is not blown up."""


@dataclass(frozen=True)
class _Group:
    """A tensor and the MatMuls that read it, each with a matrix of weights."""

    read: ir.Value
    nodes: tuple[ir.Node, ...]


def smooth(source: Path, out: Path, items: Sequence[Item], batched: bool) -> Made:
    """Scale channels by what they hold over all items, and write ``out/model.onnx``.

    Args:
        source: the model, of fp32.
        out: folder to write into.
        items: samples, without a batch axis where ``batched``.
        batched: the model's first axis is the batch.

    Raises:
        Refused: no MatMul with weights reads a tensor with channels much wider than others.
        SampleError: there is no item, or one does not fit.
    """
    model = ir.load(source)
    ir.external_data.load_to_model(model)
    groups = _groups(model.graph)
    widths = _widths(model, groups, items, batched)
    wide = [group for group in groups if _is_wide(widths[str(group.read.name)])]
    if not wide:
        raise Refused(
            f"nothing to smooth: none of {len(groups)} tensors that MatMuls read has channels "
            f"{WIDE:g} times wider than the mean one",
            "Quantise the model as it is.",
        )
    for group in wide:
        _scale(model.graph, group, widths[str(group.read.name)])
    tidy(model)
    settle(model, model.graph.name or "")
    save(model, out / MODEL_FILE)
    return Made(
        how=f"channels of {len(wide)} of {len(groups)} tensors evened out for 8 bits, "
        f"from {len(items)} samples",
        details={"changed": True, "smoothed": len(wide), "tensors": len(groups)},
    )


def _groups(graph: ir.Graph) -> list[_Group]:
    by_read: dict[str, list[ir.Node]] = {}
    reads: dict[str, ir.Value] = {}
    for node in graph:
        if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx"):
            continue
        read, weights = node.inputs[0], constant(node.inputs[1])
        fits = weights is not None and weights.ndim == 2 and weights.dtype == np.float32
        if fits and read is not None and read.name and constant(read) is None:
            reads[read.name] = read
            by_read.setdefault(read.name, []).append(node)
    return [_Group(reads[name], tuple(nodes)) for name, nodes in by_read.items()]


def _widths(
    model: ir.Model, groups: Sequence[_Group], items: Sequence[Item], batched: bool
) -> dict[str, np.ndarray]:
    """The largest magnitude of every channel (last axis) over all items."""
    if not items:
        raise SampleError("there is no sample to smooth with", "Yield at least one.")
    names = [str(group.read.name) for group in groups]
    widths = dict.fromkeys(names, np.zeros(1, np.float32))
    with Observer(ir.to_proto(model), names) as observer:
        for values in observer.run(items, batched, names):
            for name, array in values.items():
                rows = np.abs(array.reshape(-1, array.shape[-1]))
                if len(rows):
                    widths[name] = np.maximum(widths[name], rows.max(axis=0))
    return widths


def _is_wide(widths: np.ndarray) -> bool:
    return bool(np.isfinite(widths).all() and widths.max() > WIDE * widths.mean() > 0)


def _scale(graph: ir.Graph, group: _Group, widths: np.ndarray) -> None:
    matrices = [constant(node.inputs[1]) for node in group.nodes]
    rows = np.max([np.abs(matrix).max(axis=1) for matrix in matrices if matrix is not None], axis=0)
    widths = np.maximum(widths, widths.max() * SMALLEST)
    rows = np.maximum(rows, rows.max() * SMALLEST) if rows.any() else np.ones_like(rows)
    spread = STRENGTH * np.log(widths) - (1 - STRENGTH) * np.log(rows)
    scale = np.exp(spread - spread.mean()).astype(np.float32)
    smaller = _into_normalisation(graph, group, 1 / scale) or _by_product(graph, group, 1 / scale)
    for node, matrix in zip(group.nodes, matrices, strict=True):
        node.replace_input_with(0, smaller)
        weights = _weights(graph, f"{node.name}_smoothed", matrix * scale[:, None])
        node.replace_input_with(1, weights)


def _into_normalisation(graph: ir.Graph, group: _Group, factor: np.ndarray) -> ir.Value | None:
    """Where a LayerNormalization makes the tensor for these nodes alone, its scale takes it."""
    node = made_by(group.read, "LayerNormalization")
    if node is None or group.read.is_graph_output() or len(node.inputs) < 2:
        return None
    if len(group.read.uses()) != len(group.nodes):
        return None
    arrays = [constant(value) for value in node.inputs[1:]]
    if any(array is None or array.shape != factor.shape for array in arrays):
        return None
    for place, array in enumerate(arrays, start=1):
        weights = _weights(graph, f"{node.name}_smoothed_{place}", array * factor)
        node.replace_input_with(place, weights)
    return group.read


def _by_product(graph: ir.Graph, group: _Group, factor: np.ndarray) -> ir.Value:
    name = f"{group.read.name}_smoothed"
    product = ir.node("Mul", [group.read, _weights(graph, f"{name}_by", factor)])
    product.outputs[0].type, product.outputs[0].shape = group.read.type, group.read.shape
    graph.insert_before(group.nodes[0], product)
    return product.outputs[0]


def _weights(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    taken = set(graph.initializers)
    while name in taken:
        name += "_"
    array = np.ascontiguousarray(array, np.float32)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=ir.tensor(array, name=name),
    )
    graph.register_initializer(value)
    return value
