"""A model's attentions go in, however exported; the shortest standard ONNX for them comes out.

Exporters guard against rows of NaN, turn keys in three steps and scale twice. Compilers recognise
an attention only without all that (TensorRT's fused kernels), and every step costs a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nosbuild.optimize.attention import attentions
from nosbuild.optimize.graph_writing import Writer, replace, tidy
from nosbuild.optimize.mask_writing import numbers_to_add, rows_with_keys

if TYPE_CHECKING:
    import onnx_ir as ir

    from nosbuild.optimize.attention import Attention


def write_plainly(model: ir.Model) -> int:
    """Rewrite in place those with more to them than that.

    Returns:
        how many attentions were rewritten.
    """
    writer = Writer(model.graph)
    found = [attention for attention in attentions(model.graph) if not attention.is_plain]
    for attention in found:
        _write(writer, attention)
    tidy(model)
    return len(found)


def _write(writer: Writer, attention: Attention) -> None:
    place = attention.output.producer()
    assert place is not None
    writer.at(place)
    scale = writer.constant(attention.scale, np.float32)
    query = writer.add("Mul", [attention.query, scale], like=attention.query)
    key = writer.add("Transpose", [attention.key], {"perm": [0, 1, 3, 2]})
    logits = writer.add("MatMul", [query, key])
    rows = None
    if attention.mask is not None:
        logits = writer.add("Add", [logits, numbers_to_add(writer, attention.mask)])
        rows = rows_with_keys(writer, attention.mask)
    shares = writer.add("Softmax", [logits], {"axis": -1})
    output = writer.add("MatMul", [shares, attention.value], like=attention.output)
    if rows is not None:
        output = writer.add("Mul", [output, rows], like=attention.output)
    replace(attention.output, output)
