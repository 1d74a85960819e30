"""A graph and the nodes to quantise go in; what around them computes in 8 bits too comes out."""

from __future__ import annotations

import onnx

from nosbuild.optimize.source_graph import DEFAULT_DOMAINS, constants

PASSING = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "MaxPool"})
"""Only move values, so they keep the scale of their input."""
JOINING = frozenset({"Add", "Concat", "AveragePool", "GlobalAveragePool"})
"""Have 8-bit kernels of their own, worth it where all that they read is in 8 bits already."""
CLIPPING = frozenset({"Relu", "Clip"})
"""Vanish: the range of what they make says the same."""
FLOAT_ANSWERS = ("Gemm", "MatMul")
"""May answer in float32 from an 8-bit kernel; a convolution may not."""


def touched(model: onnx.ModelProto, chosen: set[str]) -> set[str]:
    """The chosen nodes, and those around them that then compute in 8 bits for nothing."""
    weights = constants(model)
    quantised: set[str] = set()
    found = set(chosen)
    for node in model.graph.node:
        if node.name in chosen:
            if node.op_type not in FLOAT_ANSWERS:
                quantised.update(node.output)
            continue
        if node.domain not in DEFAULT_DOMAINS:
            continue
        if node.op_type in PASSING | CLIPPING:
            reads = list(node.input[:1])
        elif node.op_type in JOINING:
            reads = list(node.input)
        else:
            continue
        if reads and all(name in quantised and name not in weights for name in reads):
            found.add(node.name)
            quantised.update(node.output)
    return found


def may_be_quantised(model: onnx.ModelProto) -> set[str]:
    """Every value that might be quantised."""
    weights = constants(model)
    around = PASSING | JOINING | CLIPPING | {"Conv", "Gemm", "MatMul"}
    nodes = [node for node in model.graph.node if node.op_type in around]
    names = {name for node in nodes for name in (*node.input, *node.output)}
    return {name for name in names if name and name not in weights}
