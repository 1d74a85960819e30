"""A model goes in; the same, its residual sums kept apart from normalisation, comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.optimize.graph_reading import constant

if TYPE_CHECKING:
    import onnx_ir as ir


def part_residual_sums(model: ir.Model) -> int:
    """Write Add before LayerNormalization as Sum, which is the same, in place.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization at every load. On a
    CPU its kernel takes five times as long as the two (1.32: 500 against 85 us for 256 rows of
    384), a fifth of a whole 8-bit MiniLM. It does not do so to a Sum.

    Returns:
        how many.
    """
    changed = 0
    for node in model.graph.all_nodes():
        if node.op_type != "Add" or node.domain or _any_constant(node):
            continue
        if _is_normalised(node.outputs[0]):
            node.op_type = "Sum"
            changed += 1
    return changed


def _any_constant(node: ir.Node) -> bool:
    """A bias, not a residual."""
    return any(constant(value) is not None for value in node.inputs)


def _is_normalised(value: ir.Value) -> bool:
    """By LayerNormalization, or by the small operators that ONNX Runtime makes one of."""
    readers = {use.node.op_type for use in value.uses() if use.idx == 0}
    return "LayerNormalization" in readers or {"ReduceMean", "Sub"} <= readers
