"""A model goes in; the same, the scales and biases beside its convolutions in their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nosbuild.optimize.graph_reading import constant, integers, made_by, read_once
from nosbuild.optimize.graph_writing import Writer, replace, tidy

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

_LEAST = 1e-6
"""Of a scale: what is divided by it stays well within float32."""


def fold_into_convolutions(model: ir.Model) -> int:
    """Fold Mul and Add by constants, after and before a Conv, into its weights, in place.

    ONNX Runtime (1.32) folds neither one number for all channels nor anything before a Conv. Each
    is a pass over the memory, and keeps an activation from being fused into the Conv.

    Returns:
        how many were folded.
    """
    writer = Writer(model.graph)
    nodes = list(model.graph)
    after = [node for node in nodes if _fold_after(writer, node)]
    before = [node for node in nodes if node.op_type == "Conv" and _fold_before(writer, node)]
    if after or before:
        tidy(model)
    return len(after) + len(before)


def _fold_after(writer: Writer, node: ir.Node) -> bool:
    """Of ``Conv(x) * scale`` or ``Conv(x) + shift``, for each channel or for all."""
    if node.op_type not in ("Mul", "Add") or node.outputs[0].is_graph_output():
        return False
    for number, given in _with_constant(node.outputs[0], node.op_type):
        conv = made_by(given, "Conv")
        weights = _weights(conv)
        if conv is None or weights is None or not read_once(given):
            continue
        kernel, bias = weights
        channels = _for_channels(number, kernel)
        if channels is None:
            continue
        if node.op_type == "Mul":
            kernel = kernel * channels.reshape(-1, *[1] * (kernel.ndim - 1))
            bias = bias * channels
        else:
            bias = bias + channels
        _set_weights(writer, conv, kernel, bias)
        replace(node.outputs[0], given)
        writer.graph.remove(node, safe=True)
        return True
    return False


def _fold_before(writer: Writer, conv: ir.Node) -> bool:
    """Of ``Conv(x * scale + shift)``; where the Conv pads with zeros, a shift has to stay."""
    weights, value = _weights(conv), conv.inputs[0]
    if weights is None or value is None:
        return False
    kernel, bias = weights
    shift, shifted = _taken_off(value, "Add", kernel.ndim)
    scale, given = _taken_off(shifted, "Mul", kernel.ndim)
    if given is value:
        return False
    if shift and _pads(conv):
        if given is shifted or abs(scale) < _LEAST:
            return False
        writer.at(conv)
        rest = writer.constant(shift / scale, np.float32)
        given = writer.add("Add", [given, rest], like=given)
    else:
        bias = bias + shift * kernel.reshape(len(kernel), -1).sum(axis=1)
    _set_weights(writer, conv, kernel * scale, bias)
    conv.replace_input_with(0, given)
    return True


def _taken_off(value: ir.Value, op_type: str, rank: int) -> tuple[float, ir.Value]:
    """The number that an operator read once adds or multiplies by, and what it does so to."""
    if read_once(value):
        for number, given in _with_constant(value, op_type):
            if number.size == 1 and number.ndim <= rank:
                return float(number.item()), given
    return 0.0 if op_type == "Add" else 1.0, value


def _with_constant(value: ir.Value, op_type: str) -> list[tuple[NDArray[np.generic], ir.Value]]:
    """(float32 constant, what it is added to or multiplied with), either way round."""
    node = made_by(value, op_type)
    if node is None or len(node.inputs) != 2:
        return []
    first, second = node.inputs
    pairs = [(constant(first), second), (constant(second), first)]
    return [
        (found, other)
        for found, other in pairs
        if found is not None and found.dtype == np.float32 and other is not None
    ]


def _for_channels(
    number: NDArray[np.generic], kernel: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """One number for each of the Conv's channels, if the constant is that or one for all."""
    channels, rank = len(kernel), kernel.ndim
    if number.ndim > rank:
        return None
    shape = (1,) * (rank - number.ndim) + number.shape
    if number.size != 1 and shape != (1, channels, *[1] * (rank - 2)):
        return None
    return np.broadcast_to(number.reshape(-1), (channels,)).astype(np.float64)


def _weights(conv: ir.Node | None) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Kernel and bias, if they are constant float32."""
    if conv is None or conv.domain not in ("", "ai.onnx"):
        return None
    kernel = constant(conv.inputs[1])
    has_bias = len(conv.inputs) > 2 and conv.inputs[2] is not None
    bias = constant(conv.inputs[2]) if has_bias else np.zeros(1, np.float32)
    if kernel is None or bias is None or kernel.dtype != np.float32:
        return None
    return kernel.astype(np.float64), np.broadcast_to(bias, (len(kernel),)).astype(np.float64)


def _set_weights(
    writer: Writer, conv: ir.Node, kernel: NDArray[np.float64], bias: NDArray[np.float64]
) -> None:
    conv.resize_inputs(3)
    conv.replace_input_with(1, writer.constant(kernel, np.float32))
    conv.replace_input_with(2, writer.constant(bias, np.float32))


def _pads(conv: ir.Node) -> bool:
    how = conv.attributes.get("auto_pad")
    if how is not None and how.as_string() not in ("NOTSET", "VALID"):
        return True
    return any(integers(conv, "pads"))
