"""A model file goes in; the model, in memory and simplified, comes out: every branch starts so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

from nosbuild.errors import Refused
from nosbuild.export import saving
from nosbuild.optimize.convolution_factors import fold_into_convolutions
from nosbuild.optimize.hard_swish import write_hard_swish

_SMALL = 1024
"""Bytes; smaller constants (shapes, axes) are needed to simplify anything."""


def simplified(source: Path) -> ir.Model:
    """Constants folded, dead and double code taken out (onnxslim); standard ONNX stays standard.

    What onnxslim leaves is done after it: scales and biases beside convolutions, hard-swish.

    Raises:
        Refused: onnxslim cannot take the model, or changes what it takes and gives.
    """
    model = ir.load(source)
    ir.external_data.load_to_model(model)
    # onnxslim wants the model as one message: what does not fit into one is lent out meanwhile.
    too_large = saving.weight_bytes(model) > saving.EXTERNAL_DATA_ABOVE
    weights = _take_out_weights(model) if too_large else {}
    slimmer = _slimmed(model)
    _put_back_weights(model, weights)
    _put_back_weights(slimmer, weights)
    _keep_face(model, slimmer)
    fold_into_convolutions(slimmer)
    write_hard_swish(slimmer)
    return slimmer


def _slimmed(model: ir.Model) -> ir.Model:
    import onnxslim

    try:
        return ir.from_proto(onnxslim.slim(ir.to_proto(model)))
    except Exception as exc:  # it raises whatever it meets
        raise Refused(
            f"onnxslim {onnxslim.__version__} cannot simplify the graph: "
            f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}",
            "The model stays as it was exported; another version of onnxslim may take it.",
        ) from exc


def _take_out_weights(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Make inputs of large weights: they are then neither folded nor looked into."""
    weights = {}
    for name, value in list(model.graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _SMALL:
            continue
        weights[name] = tensor
        value.type, value.shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape)
        del model.graph.initializers[name]
        value.const_value = None
        model.graph.inputs.append(value)
    return weights


def _put_back_weights(model: ir.Model, weights: Mapping[str, ir.TensorProtocol]) -> None:
    graph = model.graph
    lent = [value for value in graph.inputs if value.name in weights]
    graph.inputs[:] = [value for value in graph.inputs if value.name not in weights]
    for value in lent:
        value.const_value = weights[str(value.name)]
        graph.register_initializer(value)


def _keep_face(model: ir.Model, slimmer: ir.Model) -> None:
    """Inputs and outputs as they were: the axes' names too, which inference may change."""
    for section, before, after in (
        ("inputs", model.graph.inputs, slimmer.graph.inputs),
        ("outputs", model.graph.outputs, slimmer.graph.outputs),
    ):
        wanted = [(value.name, value.dtype) for value in before]
        found = [(value.name, value.dtype) for value in after]
        if wanted != found:
            raise Refused(
                f"onnxslim changes the graph's {section}: {wanted} became {found}",
                "The model stays as it was exported.",
            )
        for old, new in zip(before, after, strict=True):
            new.shape = old.shape
    if model.opset_imports.get("") != slimmer.opset_imports.get(""):
        raise Refused(
            f"onnxslim changes the opset: {dict(model.opset_imports)} became "
            f"{dict(slimmer.opset_imports)}",
            "The model stays as it was exported.",
        )
