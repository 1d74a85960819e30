"""Silero's network, which is fed its own past, as one that takes 512 new samples and two states."""

from __future__ import annotations

from importlib.metadata import distribution

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHUNK, CONTEXT, MEMORY = 512, 64, (2, 128)
RATE = 16000


def create() -> onnx.ModelProto:
    """The network with a graph around it.

    It takes the last 64 samples before the 512 new ones, and the sampling rate beside them; its
    memory has the batch on the second axis. Here the samples are a state like the memory, both
    with the batch first, and the rate is a constant.
    """
    # Located, not imported: the package itself would want torchaudio.
    package = distribution("silero-vad")
    model = onnx.load(str(package.locate_file("silero_vad/data/silero_vad_16k_op15.onnx")))
    graph = model.graph
    ends = [
        helper.make_node("Slice", ["audio", "cut", "end", "along"], ["context_next"]),
        helper.make_node("Transpose", ["stateN"], ["memory_next"], perm=[1, 0, 2]),
        helper.make_node("Identity", ["output"], ["speech"]),
    ]
    starts = [
        helper.make_node("Concat", ["context", "audio"], ["input"], axis=1),
        helper.make_node("Transpose", ["memory"], ["state"], perm=[1, 0, 2]),
    ]
    nodes = [*starts, *graph.node, *ends]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(
        [_value("audio", CHUNK), _value("context", CONTEXT), _value("memory", *MEMORY)]
    )
    graph.output.extend(
        [_value("speech", 1), _value("context_next", CONTEXT), _value("memory_next", *MEMORY)]
    )
    constants = {"sr": RATE, "cut": [CHUNK - CONTEXT], "end": [CHUNK], "along": [1]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in constants.items()
    )
    return model


def _value(name: str, *item: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *item])
