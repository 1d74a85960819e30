"""The export step: a ModelSpec goes in; ``model.onnx`` and what is known of it come out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.export.portable import IR_VERSION

if TYPE_CHECKING:
    import onnx_ir

    from nosbuild.spec import ModelSpec

EXPORTERS: dict[str, str] = {
    "torch": "nosbuild.export.onnx_from_torch:export",
    "huggingface": "nosbuild.export.onnx_from_torch:export",
    "sklearn": "nosbuild.export.onnx_from_sklearn:export",
    "onnx": "nosbuild.export.onnx_from_onnx:export",
}
"""Source kind -> function(LoadedSource, ModelSpec) -> onnx_ir.Model."""

MODEL_FILE = "model.onnx"
"""What Triton's ONNX Runtime backend looks for in a version folder."""

_EXTERNAL_DATA_ABOVE = 1_900_000_000
"""Bytes; a protobuf message holds at most 2 GiB, so larger weights go to a file beside it."""


def export_onnx(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """Load the source, export it into ``out`` and check the result.

    Returns:
        ``inputs`` and ``outputs`` (name, declaration, range), ``sizes_checked``, ``opset``.

    Raises:
        SourceError: the model is not what the spec says.
        ExportError: it cannot be exported as declared.
    """
    from nosbuild.export.check import check_export, check_source
    from nosbuild.export.naming import declare
    from nosbuild.source.load import load_source

    source, spec = load_source(spec)
    check_source(source, spec)
    module, function = EXPORTERS[spec.source.kind].split(":")
    model: onnx_ir.Model = getattr(import_module(module), function)(source, spec)
    declare(model, source.inputs, source.outputs)
    _settle(model, spec.name)
    path = out / MODEL_FILE
    _save(model, path)
    sizes = check_export(path, source, spec)
    return {
        "inputs": [_described(tensor) for tensor in source.inputs],
        "outputs": [_described(tensor) for tensor in source.outputs],
        "default_dims": source.default_dims,
        "sizes_checked": sizes,
        "opset": model.opset_imports.get("", 0),
    }


def _described(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "declaration": tensor.declaration, "range": tensor.range}


def _settle(model: onnx_ir.Model, name: str) -> None:
    """Take out what differs from run to run, so that the same source gives the same bytes:
    skl2onnx names the graph at random, the dynamo exporter notes stack traces in every node.
    The file format is capped too: a newer one only says that a newer library wrote it.
    """
    model.graph.name = name
    model.ir_version = min(model.ir_version, IR_VERSION)
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None


def _save(model: onnx_ir.Model, path: Path) -> None:
    import onnx_ir

    # What lies beside the user's file must lie in ours, or beside it.
    onnx_ir.external_data.load_to_model(model)
    size = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None
    )
    external = f"{path.name}.data" if size > _EXTERNAL_DATA_ABOVE else None
    onnx_ir.save(model, path, external_data=external)
