"""An ONNX graph goes in; its scaled dot-product attentions come out, as what they compute.

Exporters write ``softmax(q k^T * scale + mask) v`` in many ways; this is found from the operators
and their sizes, never from names. What does not fit exactly is left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from nosbuild.optimize.attention_mask import Mask, added, chosen
from nosbuild.optimize.graph_reading import (
    Size,
    constant,
    integer,
    integers,
    made_by,
    scalar,
    sizes,
)

_SWAP_HEADS = (0, 2, 1, 3)
"""[batch, seq, heads, size] to [batch, heads, seq, size], and back."""


@dataclass(frozen=True)
class Attention:
    """``output = softmax(scale * query key^T + mask) value``; tensors [batch, heads, seq, size]."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    scale: float
    mask: Mask | None
    output: ir.Value
    heads: int
    head_size: int
    is_plain: bool
    """No guard against NaN, a key turned in one step, one scale."""

    @property
    def scores(self) -> tuple[Size, ...]:
        """Sizes [batch, heads, queries, keys]."""
        of_query, of_key = sizes(self.query), sizes(self.key)
        assert of_query is not None and of_key is not None
        return (*of_query[:3], of_key[2])


@dataclass(frozen=True)
class _Scores:
    """``scale * query key^T``."""

    query: ir.Value
    key: ir.Value
    scale: float
    is_plain: bool


def attentions(graph: ir.Graph) -> list[Attention]:
    """Every attention of float32 in the graph, in its order."""
    found = (_ending_in(node) for node in graph if node.op_type == "Softmax" and not node.domain)
    return [attention for attention in found if attention is not None]


def before_swap(value: ir.Value) -> ir.Value | None:
    """[batch, seq, heads, size] that a Transpose made this from."""
    node = made_by(value, "Transpose")
    return node.inputs[0] if node is not None and integers(node, "perm") == _SWAP_HEADS else None


def only_use(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The one node, and its input, that reads the value, if nothing else does."""
    uses = value.uses()
    return (uses[0].node, uses[0].idx) if len(uses) == 1 and not value.is_graph_output() else None


def _ending_in(softmax: ir.Node) -> Attention | None:
    logits, shares = softmax.inputs[0], softmax.outputs[0]
    if logits is None or integer(softmax, "axis", -1) not in (-1, 3):
        return None
    guarded = _without_guard(shares)
    use = only_use(shares if guarded is None else guarded)
    if use is None or use[0].op_type != "MatMul" or use[1] != 0:
        return None
    product = use[0]
    value, output = product.inputs[1], product.outputs[0]
    above = _masked(logits)
    if above is None or value is None or output.is_graph_output():
        return None
    logits, mask = above
    if mask is not None and guarded is not None:
        mask = mask.zeroing_empty_rows()
    scores = _scores(logits)
    is_guarded = guarded is not None
    if scores is None:
        return None
    return _checked(scores, mask, value, output, guarded=is_guarded)


def _without_guard(shares: ir.Value) -> ir.Value | None:
    """``where(isnan(shares), 0, shares)``: rows without any key count as nothing, not as NaN."""
    uses = shares.uses()
    if len(uses) != 2 or shares.is_graph_output():
        return None
    tests = [use.node for use in uses if use.node.op_type == "IsNaN"]
    picks = [use.node for use in uses if use.node.op_type == "Where" and use.idx == 2]
    if len(tests) != 1 or len(picks) != 1:
        return None
    (test,), (pick,) = tests, picks
    zero = constant(pick.inputs[1])
    fits = pick.inputs[0] is test.outputs[0] and zero is not None and not zero.any()
    return pick.outputs[0] if fits and only_use(test.outputs[0]) is not None else None


def _masked(logits: ir.Value) -> tuple[ir.Value, Mask | None] | None:
    """What the mask was applied to, and the mask."""
    if only_use(logits) is None:
        return None
    if (node := made_by(logits, "Where")) is not None:
        condition, yes, no = node.inputs
        for kept, fill, inverted in ((yes, no, False), (no, yes, True)):
            number = scalar(fill)
            if condition is not None and kept is not None and number is not None:
                mask = chosen(condition, number, inverted=inverted)
                return None if mask is None else (kept, mask)
        return None
    if (node := made_by(logits, "Add")) is not None:
        for scores, other in ((0, 1), (1, 0)):
            kept, bias = node.inputs[scores], node.inputs[other]
            if kept is not None and bias is not None and _scores(kept) is not None:
                return kept, added(bias)
        return None
    return logits, None


def _scores(logits: ir.Value) -> _Scores | None:
    """The product of query and key, its scale being in up to three places."""
    logits, outer = _unscaled(logits)
    product = made_by(logits, "MatMul")
    if product is None or only_use(logits) is None:
        return None
    left, right = product.inputs
    if left is None or right is None:
        return None
    query, of_query = _unscaled(left)
    turned, of_key = _unscaled(right)
    key = _turned_back(turned)
    scale = outer * of_query * of_key
    if key is None or not math.isfinite(scale) or scale <= 0:
        return None
    in_one_step = made_by(turned, "Transpose") is not None
    scaled_once = (outer, of_query, of_key).count(1.0) >= 2
    return _Scores(query, key, scale, in_one_step and scaled_once)


def _unscaled(value: ir.Value) -> tuple[ir.Value, float]:
    if (node := made_by(value, "Mul")) is not None:
        for tensor, factor in (node.inputs, node.inputs[::-1]):
            number = scalar(factor)
            if tensor is not None and number is not None:
                return tensor, number
    if (node := made_by(value, "Div")) is not None:
        number = scalar(node.inputs[1])
        if number and node.inputs[0] is not None:
            return node.inputs[0], 1 / number
    return value, 1.0


def _turned_back(value: ir.Value) -> ir.Value | None:
    """The key [batch, heads, seq, size] whose last axes were swapped to make this."""
    node = made_by(value, "Transpose")
    if node is not None and node.inputs[0] is not None:
        order = integers(node, "perm")
        if order == (0, 1, 3, 2):
            return node.inputs[0]
        if order == (0, 2, 3, 1):
            return _swapped(node.inputs[0], node)
        return None
    return _turned_in_three_axes(value)


def _swapped(view: ir.Value, before: ir.Node) -> ir.Value:
    """[batch, heads, seq, size] of [batch, seq, heads, size], made anew."""
    node = ir.node("Transpose", [view], {"perm": _SWAP_HEADS})
    swapped = node.outputs[0]
    swapped.type = view.type
    if view.shape is not None:
        swapped.shape = ir.Shape([view.shape[axis] for axis in _SWAP_HEADS])
    if before.graph is not None:
        before.graph.insert_before(before, node)
    return swapped


def _turned_in_three_axes(value: ir.Value) -> ir.Value | None:
    """The dynamo exporter's way: batch and heads made one axis, the others swapped, and back."""
    back = made_by(value, "Reshape")
    turn = made_by(back.inputs[0], "Transpose") if back is not None else None
    flat = made_by(turn.inputs[0], "Reshape") if turn is not None else None
    if turn is None or flat is None or integers(turn, "perm") != (0, 2, 1):
        return None
    key, joined = flat.inputs[0], turn.inputs[0]
    if key is None or joined is None:
        return None
    whole, three, turned = sizes(key), sizes(joined), sizes(value)
    if whole is None or three is None or turned is None or len(whole) != 4 or len(three) != 3:
        return None
    same = three[1:] == whole[2:] and turned == (whole[0], whole[1], whole[3], whole[2])
    return key if same else None


def _checked(
    scores: _Scores, mask: Mask | None, value: ir.Value, output: ir.Value, *, guarded: bool
) -> Attention | None:
    """An Attention if all sizes fit: none of the three may broadcast against another."""
    query, key = scores.query, scores.key
    of_query, of_key, of_value = sizes(query), sizes(key), sizes(value)
    if of_query is None or of_key is None or of_value is None:
        return None
    if not len(of_query) == len(of_key) == len(of_value) == 4:
        return None
    heads, head_size = of_query[1], of_query[3]
    same = of_query[:2] == of_key[:2] == of_value[:2] and of_key[2] == of_value[2]
    same = same and of_key[3] == head_size == of_value[3]
    if not (same and isinstance(heads, int) and isinstance(head_size, int)):
        return None
    if query.dtype != ir.DataType.FLOAT or value.dtype != ir.DataType.FLOAT:
        return None
    if mask is not None and not mask.fits(of_query[0], heads, of_query[2], of_key[2]):
        return None
    scale, plain = float(np.float32(scores.scale)), scores.is_plain and not guarded
    return Attention(query, key, value, scale, mask, output, heads, head_size, plain)
