"""What ``fp16`` or ``bf16`` would convert goes in; a float32 graph that rounds alike comes out.

ONNX Runtime has few 16-bit kernels for CPUs. It computes such a graph in float32 and does not even
round between nodes, so that nothing overflows there which would on a GPU. Here every value that
the conversion makes in 16 bits is rounded to them, infinities included, and weights too. Sums
within a node stay in float32, as they do in a GPU's matrix units.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from nosbuild.optimize.half import HalfType, check_keep, choose
from nosbuild.optimize.observing import FLOAT, value_types
from nosbuild.optimize.operator_schemas import inputs_may_be
from nosbuild.optimize.source_graph import (
    array_of,
    constants,
    drop_unused_constants,
    lift_constants,
    opset_of,
    read,
    replace_nodes,
    write,
)

EMULATED_FILE = "emulated.onnx"
"""Not ``model.*``: it is no artifact to publish."""


def emulate(source: Path, out: Path, half: HalfType, keep: Collection[str] = ()) -> Path:
    """Write ``out/emulated.onnx``, which answers on a CPU as the conversion does on a GPU.

    Raises:
        InputError: ``keep`` names a node that is not there.
    """
    model = read(source)
    check_keep(keep, model)
    types = value_types(model)
    nodes = set(choose(model, half, types).half) - set(keep)
    lift_constants(model)
    weights = constants(model)
    rounded: dict[str, str] = {}
    made: list[onnx.NodeProto] = []
    for original in model.graph.node:
        node = onnx.NodeProto.FromString(original.SerializeToString())
        if node.name in nodes:
            may = inputs_may_be(node, opset_of(model), half.kind) or []
            for index, name in enumerate(node.input):
                if types.get(name) == FLOAT and may[index]:
                    node.input[index] = _rounded(name, model, weights, rounded, made, half)
        made.append(node)
        if node.name in nodes:
            for index, name in enumerate(node.output):
                if types.get(name) == FLOAT:
                    node.output[index] = f"{name}_exact"
                    made.extend(_rounding(f"{name}_exact", name, half))
                    rounded[name] = name
    replace_nodes(model, made)
    drop_unused_constants(model)
    del model.graph.value_info[:]
    return write(model, out, EMULATED_FILE)


def _rounded(
    name: str,
    model: onnx.ModelProto,
    weights: dict[str, TensorProto],
    rounded: dict[str, str],
    made: list[onnx.NodeProto],
    half: HalfType,
) -> str:
    """The name of the value as 16 bits hold it; made where it is first asked for."""
    if name not in rounded:
        rounded[name] = f"{name}_rounded"
        if name in weights:
            array = array_of(weights[name]).astype(half.numpy).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, rounded[name]))
        else:
            made.extend(_rounding(name, rounded[name], half))
    return rounded[name]


def _rounding(given: str, made: str, half: HalfType) -> list[onnx.NodeProto]:
    between = f"{made}_{half.name}"
    return [
        helper.make_node("Cast", [given], [between], name=f"{between}_cast", to=half.onnx),
        helper.make_node("Cast", [between], [made], name=f"{made}_cast", to=TensorProto.FLOAT),
    ]
