"""What is added to attention scores goes in; which keys it lets through comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from nosbuild.optimize.graph_reading import Size, constant, made_by, scalar, sizes

_ABSORBS = -1e9
"""Scores next to a fill this low are lost in rounding: setting and adding it come to the same."""


@dataclass(frozen=True)
class Mask:
    """Numbers added to scores [batch, heads, queries, keys], against which they broadcast."""

    values: ir.Value
    fill: float | None
    """``values`` tell which keys count (others get this added); None: they are the numbers."""
    inverted: bool = False
    """``values`` tell which keys do not count."""
    empty_rows_give_zero: bool = False
    """A query that may see no key at all (all -inf) gets 0 and not NaN."""

    def zeroing_empty_rows(self) -> Mask:
        """The same, of an attention that turns NaN into 0: a finite fill makes none."""
        can_be_nan = self.fill is None or math.isinf(self.fill)
        return replace(self, empty_rows_give_zero=can_be_nan)

    @property
    def sizes(self) -> tuple[Size, ...] | None:
        """Of all four axes; missing ones in front are 1, as in broadcasting."""
        found = sizes(self.values)
        return None if found is None or len(found) > 4 else (1,) * (4 - len(found)) + found

    def fits(self, *scores: Size) -> bool:
        """True if it surely broadcasts to scores of these sizes, and not the other way round."""
        found = self.sizes
        return found is not None and all(
            size in (1, wanted) for size, wanted in zip(found, scores, strict=True)
        )


def chosen(condition: ir.Value, fill: float, *, inverted: bool) -> Mask | None:
    """The mask of ``where(condition, scores, fill)``, or of the inverse."""
    if not fill <= _ABSORBS:
        return None
    return Mask(_essence(condition, inverted), fill, inverted)


def added(bias: ir.Value) -> Mask:
    """The mask of ``scores + bias``."""
    bias = _unexpanded(bias)
    if (node := made_by(bias, "Where")) is not None and (condition := node.inputs[0]) is not None:
        yes, no = scalar(node.inputs[1]), scalar(node.inputs[2])
        if yes == 0 and no is not None and no < 0:
            return Mask(_essence(condition, False), no)
        if no == 0 and yes is not None and yes < 0:
            return Mask(_essence(condition, True), yes, inverted=True)
    return _of_ones_and_zeros(bias) or Mask(bias, None)


def _of_ones_and_zeros(bias: ir.Value) -> Mask | None:
    """``(1 - kept) * fill``, the way of older BERTs, kept being truth values made numbers."""
    node = made_by(bias, "Mul")
    if node is None:
        return None
    for complement, factor in (node.inputs, node.inputs[::-1]):
        fill, minus = scalar(factor), made_by(complement, "Sub")
        if fill is None or fill >= 0 or minus is None or scalar(minus.inputs[0]) != 1:
            continue
        cast = made_by(minus.inputs[1], "Cast")
        kept = cast.inputs[0] if cast is not None else None
        if kept is not None and kept.dtype in _TRUTHS:
            return Mask(kept, fill)
    return None


_TRUTHS = (ir.DataType.BOOL, ir.DataType.INT64, ir.DataType.INT32)
"""A mask of integers holds ones and zeros."""


def _essence(condition: ir.Value, inverted: bool) -> ir.Value:
    """The condition without what is always true, which only makes it larger."""
    condition = _unexpanded(condition)
    node = made_by(condition, "And")
    if node is None or inverted:
        return condition
    for rest, other in (node.inputs, node.inputs[::-1]):
        if rest is not None and other is not None and _always_true(other):
            return _essence(rest, False)
    return condition


def _unexpanded(value: ir.Value) -> ir.Value:
    node = made_by(value, "Expand")
    inner = node.inputs[0] if node is not None else None
    return value if inner is None else _unexpanded(inner)


def _always_true(condition: ir.Value) -> bool:
    condition = _unexpanded(condition)
    array = constant(condition)
    if array is not None:
        return bool(array.all())
    if (node := made_by(condition, "And")) is not None:
        return all(part is not None and _always_true(part) for part in node.inputs)
    if (node := made_by(condition, "GreaterOrEqual")) is not None:
        least, bound = _least(node.inputs[0]), scalar(node.inputs[1])
        return least is not None and bound is not None and least >= bound
    node = made_by(condition, "Unsqueeze")
    return node is not None and node.inputs[0] is not None and _always_true(node.inputs[0])


def _least(value: ir.Value | None) -> float | None:
    """A number that the value never falls below: positions count upwards."""
    array = constant(value)
    if array is not None:
        return float(array.min()) if array.size else None
    node = value.producer() if value is not None else None
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Range":
        step = scalar(node.inputs[2])
        return scalar(node.inputs[0]) if step is not None and step > 0 else None
    if node.op_type in ("Unsqueeze", "Squeeze", "Expand", "Reshape", "Identity"):
        return _least(node.inputs[0])
    return None
