"""The export step: a ModelSpec goes in; ``model.onnx`` and what is known of it come out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.export.saving import MODEL_FILE, save, settle

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
    settle(model, spec.name)
    path = out / MODEL_FILE
    save(model, path)
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
