"""A graph goes in; its nodes that multiply by constant weights, and what they read, come out.

These are what 8 bits make faster. Each is seen as a matrix product: ``rows`` of weights, one for
each output channel, times ``columns`` of input values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from nosbuild.optimize.source_graph import DEFAULT_DOMAINS, array_of, constants


@dataclass(frozen=True)
class Weighted:
    """One node with constant float weights."""

    name: str
    op_type: str
    data: str
    """The value that the weights are multiplied with."""
    answer: str
    """The value that it makes."""
    weight: str
    bias: str | None
    """A constant added to every output channel, where there is one that only this node reads."""
    shape: tuple[int, ...]
    attributes: dict[str, object]
    transposed: bool
    """True where the weights stand as [inputs, outputs]."""
    own: bool
    """True where no other node reads the weights."""

    @property
    def inputs(self) -> int:
        """How many of them each output is a sum over."""
        return self.shape[0] if self.transposed else int(np.prod(self.shape[1:]))

    @property
    def groups(self) -> int:
        """Of a convolution; 1 for a plain product."""
        return int(self.attributes.get("group", 1))  # type: ignore[call-overload, no-any-return]

    def rows(self, weight: np.ndarray) -> np.ndarray:
        """[output channels, inputs of one group]."""
        return weight.T if self.transposed else weight.reshape(len(weight), -1)

    def weight_of(self, rows: np.ndarray) -> np.ndarray:
        """The reverse of ``rows``."""
        return np.ascontiguousarray(rows.T) if self.transposed else rows.reshape(self.shape)

    def columns(self, data: np.ndarray, most: int) -> np.ndarray:
        """[groups, inputs of one group, positions]; a convolution has one for every pixel.

        Args:
            data: the node's input for one item.
            most: about how many positions to take, evenly spread.
        """
        if self.op_type == "Conv":
            return self._patches(data, most)
        if self.attributes.get("transA"):
            data = data.T
        flat = data.reshape(-1, data.shape[-1])
        return _thinned(flat.T, most)[None]

    def _patches(self, data: np.ndarray, most: int) -> np.ndarray:
        kernel = self.shape[2:]
        rank = len(kernel)
        strides = _sizes(self.attributes.get("strides"), rank)
        dilations = _sizes(self.attributes.get("dilations"), rank)
        pads = self._pads(data.shape[2:], strides, dilations)
        data = np.pad(data, [(0, 0), (0, 0), *pads])
        reach = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True))
        axes = tuple(range(2, 2 + rank))
        view = np.lib.stride_tricks.sliding_window_view(data, reach, axes)
        view = view[_every(strides, 2)]
        view = view[_every(dilations, 2 + rank)]
        # [N, C, *out, *kernel] -> [C, *kernel, N, *out], thinned before anything is copied
        view = view.transpose((1, *range(2 + rank, 2 + 2 * rank), 0, *range(2, 2 + rank)))
        step = max(1, round((np.prod(view.shape[1 + rank :]) / most) ** (1 / rank)))
        view = view[_every((step,) * rank, 2 + rank)]
        channels = view.shape[0]
        inputs = (channels // self.groups) * int(np.prod(kernel))
        return np.ascontiguousarray(view).reshape(self.groups, inputs, -1)

    def _pads(
        self, sizes: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
    ) -> list[tuple[int, int]]:
        rank = len(sizes)
        mode = self.attributes.get("auto_pad", b"NOTSET")
        if mode in (b"SAME_UPPER", b"SAME_LOWER"):
            pads = []
            for axis, size in enumerate(sizes):
                reach = (self.shape[2 + axis] - 1) * dilations[axis] + 1
                total = max((-(-size // strides[axis]) - 1) * strides[axis] + reach - size, 0)
                small, large = total // 2, total - total // 2
                pads.append((small, large) if mode == b"SAME_UPPER" else (large, small))
            return pads
        given = [int(pad) for pad in self.attributes.get("pads", ())] or [0] * 2 * rank  # type: ignore[attr-defined]
        return list(zip(given[:rank], given[rank:], strict=True))


def weighted_nodes(
    model: onnx.ModelProto, op_types: tuple[str, ...] = ("Conv", "MatMul", "Gemm")
) -> list[Weighted]:
    """Every such node of the outermost graph, in its order."""
    weights = constants(model)
    readers: dict[str, int] = {value.name: 1 for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    found = []
    for node in model.graph.node:
        if node.op_type not in op_types or node.domain not in DEFAULT_DOMAINS:
            continue
        tensor = weights.get(node.input[1])
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        if node.input[0] in weights:
            continue
        shape = tuple(tensor.dims)
        attributes = {row.name: onnx.helper.get_attribute_value(row) for row in node.attribute}
        if node.op_type != "Conv" and len(shape) != 2:
            continue
        bias = node.input[2] if len(node.input) > 2 else ""
        fits = bias in weights and readers[bias] == 1 and attributes.get("beta", 1.0) == 1.0
        fits = fits and int(np.prod(weights[bias].dims)) == _channels(
            node.op_type, shape, attributes
        )
        found.append(
            Weighted(
                node.name,
                node.op_type,
                node.input[0],
                node.output[0],
                node.input[1],
                bias if fits else None,
                shape,
                attributes,
                node.op_type != "Conv" and not attributes.get("transB"),
                readers[node.input[1]] == 1,
            )
        )
    return found


def weight_arrays(model: onnx.ModelProto, nodes: list[Weighted]) -> dict[str, np.ndarray]:
    """Weights and biases of these nodes, by name."""
    weights = constants(model)
    names = {name for node in nodes for name in (node.weight, node.bias) if name}
    return {name: array_of(weights[name]) for name in sorted(names)}


def _channels(op_type: str, shape: tuple[int, ...], attributes: dict[str, object]) -> int:
    return shape[0] if op_type == "Conv" or attributes.get("transB") else shape[1]


def _sizes(given: object, rank: int) -> tuple[int, ...]:
    return tuple(int(size) for size in given) if given else (1,) * rank  # type: ignore[attr-defined]


def _every(steps: tuple[int, ...], axis: int) -> tuple[slice, ...]:
    """The index that takes every so many of some axes, from this axis on."""
    return (slice(None),) * axis + tuple(slice(None, None, step) for step in steps)


def _thinned(columns: np.ndarray, most: int) -> np.ndarray:
    step = -(-columns.shape[1] // most)
    return np.ascontiguousarray(columns[:, :: max(step, 1)])
