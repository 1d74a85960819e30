"""A model goes in; the same, made so that ONNX Runtime keeps channels in blocks, comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nosbuild.optimize.graph_reading import made_by, scalar
from nosbuild.optimize.graph_writing import Writer, replace, tidy

if TYPE_CHECKING:
    import onnx_ir as ir


_BLOCK = 16
"""Channels, at most (8 without AVX-512); others are not kept in blocks anyway."""


def keep_blocks(model: ir.Model) -> int:
    """Write Add of one number before convolutions as a Conv of one weight a channel, in place.

    ONNX Runtime's CPU convolutions keep blocks of channels together. An Add of a constant between
    two of them does not know the blocks: values are put in order for it and into blocks after it,
    three passes (1.32: 18 of 94 ms in a text recogniser). A Conv is one.

    Returns:
        how many.
    """
    writer = Writer(model.graph)
    changed = 0
    for node in list(model.graph):
        found = _shift(node)
        if found is None:
            continue
        shift, given, channels = found
        writer.at(node)
        ones = writer.constant(np.ones((channels, 1, 1, 1)), np.float32)
        bias = writer.constant(np.full(channels, shift), np.float32)
        summed = writer.add("Conv", [given, ones, bias], {"group": channels}, like=given)
        replace(node.outputs[0], summed)
        changed += 1
    if changed:
        tidy(model)
    return changed


def _shift(node: ir.Node) -> tuple[float, ir.Value, int] | None:
    """(number, what it is added to, channels), where convolutions and nothing else read it."""
    import onnx_ir as ir

    output = node.outputs[0]
    if made_by(output, "Add") is None or output.is_graph_output():
        return None
    readers = [(use.node.op_type, use.idx) for use in output.uses()]
    if not readers or any(reader != ("Conv", 0) for reader in readers):
        return None
    for side, given in (node.inputs, reversed(node.inputs)):
        shift = scalar(side)
        if shift is None or given is None or given.dtype != ir.DataType.FLOAT:
            continue
        channels = given.shape[1] if given.shape is not None and len(given.shape) == 4 else None
        if isinstance(channels, int) and channels % _BLOCK == 0 and not given.is_graph_input():
            return shift, given, channels
    return None
