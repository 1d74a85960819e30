"""An ONNX model goes in; the same graph, with its axes named as declared, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir

if TYPE_CHECKING:
    from nosbuild.source.onnx_file import OnnxSource
    from nosbuild.spec import ModelSpec


def export(source: OnnxSource, spec: ModelSpec) -> onnx_ir.Model:
    """Read it; tensors come in the spec's order, undeclared outputs are dropped."""
    stored = source.model
    model = onnx_ir.load(stored) if isinstance(stored, Path) else onnx_ir.from_proto(stored)
    graph = model.graph
    inputs = {value.name: value for value in graph.inputs}
    outputs = {value.name: value for value in graph.outputs}
    graph.inputs[:] = [inputs[tensor.name] for tensor in source.inputs]
    graph.outputs[:] = [outputs[tensor.name] for tensor in source.outputs]
    return model
