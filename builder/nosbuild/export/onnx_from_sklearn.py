"""A fitted estimator goes in; an ONNX model comes out (skl2onnx, without ZipMap)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from nosbuild.errors import ExportError
from nosbuild.export.portable import ML_OPSET, OPSET

if TYPE_CHECKING:
    from nosbuild.source.sklearn_estimator import SklearnSource
    from nosbuild.spec import ModelSpec


def export(source: SklearnSource, spec: ModelSpec) -> onnx_ir.Model:
    """Convert, and keep the outputs that the spec declares, in its order.

    Raises:
        ExportError: skl2onnx has no converter for a part of the estimator.
    """
    (rows,) = source.inputs
    kind = StringTensorType if source.takes_texts else FloatTensorType
    # ZipMap would make the probabilities a list of dicts, which no server can carry.
    options = {id(source.estimator): {"zipmap": False}} if source.has_probabilities else None
    try:
        proto = convert_sklearn(
            source.estimator,
            initial_types=[("nosbuild_input_0", kind([None, rows.shape[1]]))],
            options=options,
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    except Exception as exc:  # its converters raise whatever they meet, NameError too
        raise ExportError(
            f"skl2onnx cannot convert {type(source.estimator).__name__}: {exc}",
            "Replace that part by an estimator on skl2onnx's list of supported models.",
        ) from exc
    model = onnx_ir.from_proto(proto)
    graph = model.graph
    for node in graph.all_nodes():
        if node.op_type == "StringNormalizer":
            # Without it ONNX Runtime wants en_US, which slim machines and containers lack.
            node.attributes.add(onnx_ir.AttrString("locale", "C.UTF-8"))
    # skl2onnx gives [label, probabilities] for classifiers, one output otherwise.
    by_method = {"predict": 0, "predict_proba": 1, "transform": 0}
    kept = [graph.outputs[by_method[source.methods[tensor.name]]] for tensor in source.outputs]
    graph.outputs[:] = kept
    return model
