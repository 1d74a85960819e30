"""A mask of attention scores goes in; the values that an attention operator takes come out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from nosbuild.optimize.graph_reading import Size, sizes
from nosbuild.optimize.graph_writing import LOWEST, Writer

if TYPE_CHECKING:
    from nosbuild.optimize.attention_mask import Mask


def finite_fill(fill: float) -> float:
    """The same for every query that sees a key, and no NaN for one that sees none."""
    return LOWEST if math.isinf(fill) or fill < LOWEST else fill


def kept_keys(writer: Writer, mask: Mask) -> ir.Value:
    """Truth values, four axes: the keys that count."""
    values = _four_axes(writer, mask.values)
    if values.dtype != ir.DataType.BOOL:
        values = writer.add("Cast", [values], {"to": int(ir.DataType.BOOL)})
    return writer.add("Not", [values]) if mask.inverted else values


def numbers_to_add(writer: Writer, mask: Mask) -> ir.Value:
    """Floats, four axes."""
    if mask.fill is None:
        values = _four_axes(writer, mask.values)
        if mask.empty_rows_give_zero:
            values = writer.add("Max", [values, writer.constant(LOWEST, np.float32)])
        return values
    fill = finite_fill(mask.fill) if mask.empty_rows_give_zero else mask.fill
    zero, low = writer.constant(0, np.float32), writer.constant(fill, np.float32)
    return writer.add("Where", [kept_keys(writer, mask), zero, low])


def rows_with_keys(writer: Writer, mask: Mask) -> ir.Value | None:
    """1 for each query that sees a key, 0 for others, [., ., queries, 1]; None if 1 throughout."""
    if not mask.empty_rows_give_zero:
        return None
    if mask.fill is None:
        most = writer.reduce("ReduceMax", _four_axes(writer, mask.values), 3)
        sees = writer.add("Greater", [most, writer.constant(-math.inf, np.float32)])
    else:
        kept = writer.add("Cast", [kept_keys(writer, mask)], {"to": int(ir.DataType.FLOAT)})
        total = writer.reduce("ReduceSum", kept, 3)
        sees = writer.add("Greater", [total, writer.constant(0, np.float32)])
    return writer.add("Cast", [sees], {"to": int(ir.DataType.FLOAT)})


def key_padding(writer: Writer, mask: Mask, scores: tuple[Size, ...], query: ir.Value) -> ir.Value:
    """int32 [batch, keys], or [batch, queries, keys] where queries see different keys.

    Args:
        writer: of the graph.
        mask: the same for all heads.
        scores: sizes [batch, heads, queries, keys].
        query: [batch, queries, ...].
    """
    found = mask.sizes
    assert found is not None
    one_row = found[2] == 1
    axes = writer.constant([1, 2] if one_row else [1], np.int64)
    kept = writer.add("Squeeze", [kept_keys(writer, mask), axes])
    kept = writer.add("Cast", [kept], {"to": int(ir.DataType.INT32)})
    wanted = [scores[0], scores[3]] if one_row else [scores[0], *scores[2:]]
    if [found[0], found[3]] == wanted or [found[0], *found[2:]] == wanted:
        return kept
    shape = writer.add("Shape", [query])
    front = writer.constant([0] if one_row else [0, 1], np.int64)
    front_sizes = writer.add("Gather", [shape, front], {"axis": 0})
    one = writer.constant([1], np.int64)
    return writer.add("Expand", [kept, writer.add("Concat", [front_sizes, one], {"axis": 0})])


def attention_bias(
    writer: Writer, mask: Mask, scores: tuple[Size, ...], query: ir.Value, key: ir.Value
) -> ir.Value:
    """Floats [batch or 1, heads, queries, keys]: older ONNX Runtimes broadcast only the first.

    Args:
        writer: of the graph.
        mask: numbers to add.
        scores: sizes [batch, heads, queries, keys].
        query: [batch, queries, ...].
        key: [batch, keys, ...].
    """
    bias = numbers_to_add(writer, mask)
    found = mask.sizes
    assert found is not None
    if found[1:] == scores[1:]:
        return bias
    second = writer.constant([1], np.int64)
    queries = writer.add("Gather", [writer.add("Shape", [query]), second], {"axis": 0})
    keys = writer.add("Gather", [writer.add("Shape", [key]), second], {"axis": 0})
    front = writer.constant([1, scores[1]], np.int64)
    return writer.add("Expand", [bias, writer.add("Concat", [front, queries, keys], {"axis": 0})])


def _four_axes(writer: Writer, values: ir.Value) -> ir.Value:
    found = sizes(values)
    missing = 4 - len(found) if found is not None else 0
    if not missing:
        return values
    axes = writer.constant(list(range(missing)), np.int64)
    added = writer.add("Unsqueeze", [values, axes])
    added.type = values.type
    return added
