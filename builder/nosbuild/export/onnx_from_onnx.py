"""An ONNX file goes in; the same graph, with its axes named as declared, comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir

if TYPE_CHECKING:
    from nosbuild.source.onnx_file import OnnxSource
    from nosbuild.spec import ModelSpec


def export(source: OnnxSource, spec: ModelSpec) -> onnx_ir.Model:
    """Read the file; tensors come in the spec's order, undeclared outputs are dropped."""
    model = onnx_ir.load(source.path)
    graph = model.graph
    inputs = {value.name: value for value in graph.inputs}
    outputs = {value.name: value for value in graph.outputs}
    graph.inputs[:] = [inputs[tensor.name] for tensor in source.inputs]
    graph.outputs[:] = [outputs[tensor.name] for tensor in source.outputs]
    return model
