"""A model's attentions go in; one MultiHeadAttention of ONNX Runtime for each comes out.

The operator: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, here as
ONNX Runtime 1.19 has it already. Projections stay MatMuls, which quantisation knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nosbuild.optimize.attention import attentions, before_swap, only_use
from nosbuild.optimize.graph_reading import integers, made_by, sizes
from nosbuild.optimize.graph_writing import Writer, replace, tidy
from nosbuild.optimize.mask_writing import (
    attention_bias,
    finite_fill,
    key_padding,
    rows_with_keys,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from nosbuild.optimize.attention import Attention

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""


def fuse_attentions(model: ir.Model) -> int:
    """Fuse in place what MultiHeadAttention can express.

    Returns:
        how many attentions were fused.
    """
    writer = Writer(model.graph)
    fused = sum(_fuse(writer, attention) for attention in attentions(model.graph))
    tidy(model)
    if fused:
        model.opset_imports[MICROSOFT] = 1
    return fused


def _fuse(writer: Writer, attention: Attention) -> bool:
    place = attention.output.producer()
    after = _joined_after(attention.output)
    views = [before_swap(value) for value in (attention.query, attention.key, attention.value)]
    mask = attention.mask
    per_head = mask is not None and (mask.sizes is None or mask.sizes[1] != 1)
    zeroed = mask is not None and mask.empty_rows_give_zero
    if place is None or after is None or (zeroed and (per_head or after[1] is not None)):
        return False
    joined, rows = after
    writer.at(place)
    tensors = []
    for view in views:
        if view is None:
            return False
        tensors.append(_joined_before(writer, view, attention))
    query, key, value = tensors
    padding = bias = None
    attributes: dict[str, int | float] = {"num_heads": attention.heads, "scale": attention.scale}
    if mask is not None:
        if mask.fill is not None and not per_head:
            padding = key_padding(writer, mask, attention.scores, query)
            attributes["mask_filter_value"] = finite_fill(mask.fill)
        else:
            bias = attention_bias(writer, mask, attention.scores, query, key)
        rows = rows or rows_with_keys(writer, mask)
    inputs = [query, key, value, None, padding, bias]
    while inputs[-1] is None:
        inputs.pop()
    output = writer.add("MultiHeadAttention", inputs, attributes, domain=MICROSOFT, like=joined)
    if rows is not None:
        axis = writer.constant([1], np.int64)
        output = writer.add("Mul", [output, writer.add("Squeeze", [rows, axis])], like=joined)
    replace(joined, output)
    return True


def _joined_before(writer: Writer, view: ir.Value, attention: Attention) -> ir.Value:
    """[batch, seq, heads * size] of [batch, seq, heads, size]: the value it was cut from."""
    node, found = made_by(view, "Reshape"), sizes(view)
    width = attention.heads * attention.head_size
    whole = node.inputs[0] if node is not None else None
    if whole is not None and found is not None and sizes(whole) == (*found[:2], width):
        return whole
    return writer.add("Reshape", [view, writer.constant([0, 0, width], np.int64)])


def _joined_after(output: ir.Value) -> tuple[ir.Value, ir.Value | None] | None:
    """[batch, seq, heads * size] that is made of the attention's output, and of nothing else;
    with it, what the output is multiplied by before, row by row.
    """
    use = only_use(output)
    by_row = None
    if use is not None and use[0].op_type == "Mul":
        by_row = use[0].inputs[1 - use[1]]
        of_row = sizes(by_row) if by_row is not None else None
        if of_row is None or len(of_row) != 4 or (of_row[1], of_row[3]) != (1, 1):
            return None
        use = only_use(use[0].outputs[0])
    if use is None or use[0].op_type != "Transpose" or integers(use[0], "perm") != (0, 2, 1, 3):
        return None
    swapped = use[0].outputs[0]
    use, found = only_use(swapped), sizes(swapped)
    if use is None or use[0].op_type != "Reshape" or use[1] != 0 or found is None:
        return None
    joined = use[0].outputs[0]
    heads, size = found[2:]
    if joined.is_graph_output() or not isinstance(heads, int) or not isinstance(size, int):
        return None
    return (joined, by_row) if sizes(joined) == (*found[:2], heads * size) else None
