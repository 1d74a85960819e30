"""A QDQ graph goes in; one whose unquantised nodes ONNX Runtime leaves as they are comes out.

When ONNX Runtime loads a graph in which a convolution or a Gemm with float weights reads a
dequantised value, it quantises these weights itself, with one scale for all channels (its pass
WeightBiasQuantization). That undoes what was kept in fp32 for accuracy's sake. It does so only
where the value has one scale for the whole tensor; the same scale, written once for each channel,
means the same and is left alone.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nosbuild.optimize.source_graph import array_of, constants, replace_nodes

READERS = frozenset({"Conv", "ConvTranspose", "Gemm"})


def let_float_stay(model: onnx.ModelProto) -> None:
    """Give each such reader a DequantizeLinear of its own, with a scale for every channel."""
    weights = constants(model)
    made_by = {name: node for node in model.graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    for original in model.graph.node:
        node = onnx.NodeProto.FromString(original.SerializeToString())
        source = made_by.get(node.input[0]) if node.op_type in READERS else None
        if source is not None and source.op_type == "DequantizeLinear" and node.input[1] in weights:
            axis, channels = _channels(node, tuple(weights[node.input[1]].dims))
            own = onnx.NodeProto.FromString(source.SerializeToString())
            own.name = f"{node.name}_input_DequantizeLinear"
            own.output[0] = f"{node.name}_input_dequantized"
            for index in (1, 2):
                number = array_of(weights[own.input[index]])
                own.input[index] = f"{own.input[index]}_of_{channels}"
                if own.input[index] not in weights:
                    vector = np.full(channels, number.reshape(()), number.dtype)
                    tensor = numpy_helper.from_array(vector, own.input[index])
                    weights[tensor.name] = tensor
                    model.graph.initializer.append(tensor)
            own.attribute.append(helper.make_attribute("axis", axis))
            node.input[0] = own.output[0]
            nodes.append(own)
        nodes.append(node)
    replace_nodes(model, nodes)


def _channels(node: onnx.NodeProto, weight: tuple[int, ...]) -> tuple[int, int]:
    """Axis and number of the channels of what the node reads."""
    numbers = {row.name: row.i for row in node.attribute}
    if node.op_type == "Conv":
        return 1, weight[1] * numbers.get("group", 1)
    if node.op_type == "ConvTranspose":
        return 1, weight[0]
    axis = 0 if numbers.get("transA") else 1
    return axis, weight[1] if numbers.get("transB") else weight[0]
