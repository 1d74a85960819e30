"""A graph of convolutions goes in; the same function, its channels alike in size, comes out.

A tensor is quantised with one scale, which its widest channel sets: the narrow ones are left with
few steps. Where only convolutions make a tensor and only convolutions and sums read it, each
channel can be made smaller by the one and larger by the other, and nothing else changes (Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from nosbuild.optimize.observing import Item, Observer
from nosbuild.optimize.weighted import Weighted, weight_arrays, weighted_nodes

STRENGTH = 0.5
"""Of making alike: at 1 all channels become one size, and the weights bear all of the spread."""
SMALLEST = 1e-3
"""Least size of a channel beside the widest: a dead channel is not blown up."""


@dataclass
class _Chain:
    """Tensors whose channels must be scaled together, and who makes and reads them."""

    tensors: set[str]
    makers: list[Weighted] = field(default_factory=list)
    readers: list[Weighted] = field(default_factory=list)


def equalised_weights(
    model: onnx.ModelProto, items: Sequence[Item], batched: bool
) -> dict[str, np.ndarray]:
    """New values for weights and biases, by name; empty where nothing can be scaled."""
    chains = _chains(model)
    if not chains:
        return {}
    sizes = _channel_sizes(model, chains, items, batched)
    nodes = [node for chain in chains for node in (*chain.makers, *chain.readers)]
    arrays = {name: a.astype(np.float64) for name, a in weight_arrays(model, nodes).items()}
    for chain in chains:
        widths = np.max([sizes[tensor] for tensor in sorted(chain.tensors)], axis=0)
        if widths.max() == 0:
            continue
        scale = np.maximum(widths / widths.max(), SMALLEST) ** STRENGTH
        for node in chain.makers:
            arrays[node.weight] /= scale.reshape(-1, *[1] * (len(node.shape) - 1))
            if node.bias is not None:
                arrays[node.bias] /= scale
        for node in chain.readers:
            arrays[node.weight] *= scale.reshape(1, -1, *[1] * (len(node.shape) - 2))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _chains(model: onnx.ModelProto) -> list[_Chain]:
    convolutions = {node.name: node for node in weighted_nodes(model, ("Conv",))}
    made_by = {name: node for node in model.graph.node for name in node.output}
    read_by: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    seen: set[str] = set()
    found = []
    for node in model.graph.node:
        if node.name not in convolutions or node.output[0] in seen:
            continue
        tensors = _together(node.output[0], made_by, read_by)
        seen |= tensors
        chain = _Chain(tensors)
        fits = not tensors & outputs and all(
            _joins(tensor, chain, convolutions, made_by, read_by) for tensor in sorted(tensors)
        )
        if fits and chain.readers:
            found.append(chain)
    return found


def _together(
    start: str, made_by: dict[str, onnx.NodeProto], read_by: dict[str, list[onnx.NodeProto]]
) -> set[str]:
    """The tensors bound to this one by sums."""
    found, left = {start}, [start]
    while left:
        tensor = left.pop()
        sums = [node for node in read_by.get(tensor, []) if node.op_type == "Add"]
        if tensor in made_by and made_by[tensor].op_type == "Add":
            sums.append(made_by[tensor])
        for name in {name for node in sums for name in (*node.input, *node.output)} - found:
            found.add(name)
            left.append(name)
    return found


def _joins(
    tensor: str,
    chain: _Chain,
    convolutions: dict[str, Weighted],
    made_by: dict[str, onnx.NodeProto],
    read_by: dict[str, list[onnx.NodeProto]],
) -> bool:
    """Note who makes and reads the tensor; False where one of them cannot be scaled."""
    maker = made_by.get(tensor)
    if maker is None:
        return False
    if maker.op_type != "Add":
        node = convolutions.get(maker.name)
        has_foreign_bias = node is not None and len(maker.input) > 2 and node.bias is None
        if node is None or not node.own or has_foreign_bias:
            return False
        chain.makers.append(node)
    for reader in read_by.get(tensor, []):
        if reader.op_type == "Add":
            continue
        node = convolutions.get(reader.name)
        if node is None or not node.own or node.groups != 1 or node.data != tensor:
            return False
        chain.readers.append(node)
    return True


def _channel_sizes(
    model: onnx.ModelProto, chains: Iterable[_Chain], items: Sequence[Item], batched: bool
) -> dict[str, np.ndarray]:
    names = sorted({tensor for chain in chains for tensor in chain.tensors})
    found: dict[str, np.ndarray] = {}
    with Observer(model, names) as observer:
        for values in observer.run(items, batched, names):
            for name, array in values.items():
                sizes = np.abs(array).max(axis=(0, *range(2, array.ndim)), initial=0.0)
                found[name] = np.maximum(found.get(name, 0.0), sizes)
    return found
