"""An nn.Module with declared tensors goes in; an ONNX model comes out (dynamo exporter)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from nosbuild.errors import ExportError
from nosbuild.export.check import FROZEN
from nosbuild.export.naming import placeholder_names
from nosbuild.export.portable import OPSET
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.sizes import example_sizes

if TYPE_CHECKING:
    import onnx_ir

    from nosbuild.source.torch_module import TorchSource
    from nosbuild.spec import ModelSpec


def export(source: TorchSource, spec: ModelSpec) -> onnx_ir.Model:
    """Trace the module and translate it.

    The graph's own inputs and outputs bear placeholder names: the declared ones may clash with
    names that the exporter gives to inner values, which writes an invalid model.

    Raises:
        ExportError: the module cannot be traced, or uses an operator that ONNX cannot express.
    """
    sizes = example_sizes(spec, source.inputs)
    arrays = random_inputs(source.inputs, sizes)
    inputs, outputs = placeholder_names(source.inputs, source.outputs)
    shapes = tuple(_dynamic_axes(tensor, spec) for tensor in source.inputs)
    try:
        program = torch.onnx.export(
            source.module,
            source.tensors(arrays),
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            # One tuple within: the module takes its tensors as *args, which is one parameter.
            dynamic_shapes=(shapes,),
            verbose=False,
        )
    except Exception as exc:
        if not _is_export_failure(exc):
            raise
        raise ExportError(
            f"torch.onnx.export failed at sizes {sizes}: {_reason(exc)}",
            "The step's log holds the exporter's whole report. Rewrite the part that it names "
            "(data-dependent control flow, an operator without an ONNX form), or export to ONNX "
            "yourself and use source: {onnx: ...}.",
        ) from exc
    assert program is not None
    model: onnx_ir.Model = program.model
    _check_dynamic(program.exported_program, source, spec)
    return model


def _check_dynamic(exported: Any, source: TorchSource, spec: ModelSpec) -> None:
    """Compare the sizes for which tracing itself says that its graph holds with those declared.

    The graph may run at other sizes without complaint, and answer wrongly.
    """
    nodes = {node.name: node for node in exported.graph.nodes}
    placeholders = [nodes[name] for name in exported.graph_signature.user_inputs]
    for tensor, node in zip(source.inputs, placeholders, strict=True):
        for axis in _dynamic_axes(tensor, spec):
            low, high = _sizes_it_holds_for(node.meta["val"].shape[axis], exported)
            span = spec.dim_range(tensor.axes[axis])
            if high < span.max or low > max(span.min, 2):  # 0 and 1 are always left out
                raise ExportError(
                    f"{tensor.name}: {tensor.declaration}: dims.{tensor.axes[axis]} is {span}, but "
                    f"the export holds only for {low:g}" + (f" to {high:g}" if high > low else ""),
                    FROZEN,
                )


def _sizes_it_holds_for(size: Any, exported: Any) -> tuple[float, float]:
    if isinstance(size, int):
        return size, size
    span = exported.range_constraints.get(size.node.expr)
    return (0, math.inf) if span is None else (float(span.lower), float(span.upper))


def _dynamic_axes(tensor: Any, spec: ModelSpec) -> dict[int, Any]:
    """AUTO, not named dims: an axis that comes out static is for our own check to explain."""
    dynamic = {}
    for axis, name in tensor.axes.items():
        span = spec.dim_range(name)
        if span.min != span.max:
            dynamic[axis] = torch.export.Dim.AUTO
    return dynamic


def _is_export_failure(exc: Exception) -> bool:
    """True for what tracing a user's module may raise; an error tree of its own does not exist."""
    return not isinstance(exc, (MemoryError, OSError))


def _reason(exc: BaseException) -> str:
    """The innermost cause, first lines only: the exporter wraps it in pages of advice."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    lines = [line for line in str(exc).strip().splitlines() if line.strip()]
    return f"{type(exc).__name__}: {' '.join(lines[:3])[:500]}"
