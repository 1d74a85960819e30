"""An exported ONNX file goes in; nothing comes out, unless it is not what the spec declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime

from nosbuild.errors import ExportError, InputError
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.sizes import sizes_to_check

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays, LoadedSource
    from nosbuild.spec import ModelSpec


FROZEN = (
    "An axis that should vary was frozen at the size of the exporter's example. Look for sizes "
    "turned into Python numbers (int(x.shape[0]), loops over an axis), or write the one size that "
    "the model takes in place of the axis' name: float32[8, 3]."
)
"""What to do about an axis that came out static."""


def check_source(source: LoadedSource, spec: ModelSpec) -> None:
    """Run the source itself at the sizes to check, before any export: its errors are clearer.

    Raises:
        ExportError: the model does not take the declared dims, or gives other outputs.
    """
    for sizes in sizes_to_check(spec, source.inputs):
        try:
            results = source.run(random_inputs(source.inputs, sizes))
        except InputError:
            raise
        except Exception as exc:
            raise ExportError(
                f"the model itself cannot run at {_shown(sizes)}: {type(exc).__name__}: {exc}",
                "Correct inputs or dims in the model.yaml: every size in a range must work (a "
                "range may have a step: 32..320..960 step 32), and integers stay in range "
                "(inputs: {ids: {tensor: 'int64[batch]', range: [0, 99]}}).",
            ) from exc
        remedy = "Correct outputs in the model.yaml."
        _check_outputs("the model", results, source, sizes, remedy)


def check_export(path: Path, source: LoadedSource, spec: ModelSpec) -> list[dict[str, int]]:
    """ONNX's checker, a load in ONNX Runtime, and runs at sizes other than the example's.

    Returns:
        the axis sizes at which it ran.

    Raises:
        ExportError: invalid, not loadable, an axis static, a shape or dtype not as declared.
    """
    try:
        onnx.checker.check_model(str(path), full_check=False)
    except onnx.checker.ValidationError as exc:
        raise ExportError(
            f"the exported file is no valid ONNX: {exc}",
            "This is the exporter's fault; export with another version of the library, "
            "or use source: {onnx: ...}.",
        ) from exc
    session = _session(path)
    _check_names(session, source)
    ran = sizes_to_check(spec, source.inputs)
    for sizes in ran:
        _run_at(session, source, sizes)
    return ran


def _session(path: Path) -> Any:
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as exc:
        raise ExportError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the export: {exc}",
            "Use a newer onnxruntime, or rewrite the operator that it names.",
        ) from exc


def _check_names(session: Any, source: LoadedSource) -> None:
    for section, tensors, values in (
        ("inputs", source.inputs, session.get_inputs()),
        ("outputs", source.outputs, session.get_outputs()),
    ):
        declared = [tensor.name for tensor in tensors]
        exported = [value.name for value in values]
        if declared != exported:
            raise ExportError(
                f"the export's {section} are {', '.join(exported)}, "
                f"declared are {', '.join(declared)}",
                "This is a fault in nosbuild's naming; please report it with the model.yaml.",
            )


def _run_at(session: Any, source: LoadedSource, sizes: dict[str, int]) -> None:
    names = [tensor.name for tensor in source.outputs]
    try:
        results = session.run(names, random_inputs(source.inputs, sizes))
    except Exception as exc:
        raise ExportError(
            f"the export cannot run at {_shown(sizes)}: {' '.join(str(exc).split())[:400]}", FROZEN
        ) from exc
    named = dict(zip(names, results, strict=True))
    _check_outputs("the export", named, source, sizes, FROZEN)


def _check_outputs(
    who: str, results: Arrays, source: LoadedSource, sizes: dict[str, int], remedy: str
) -> None:
    for tensor in source.outputs:
        array = results[tensor.name]
        wanted = [sizes.get(dim) if isinstance(dim, str) else dim for dim in tensor.shape]
        fits = len(wanted) == array.ndim and all(
            size is None or size == got for size, got in zip(wanted, array.shape, strict=True)
        )
        if not fits or array.dtype != tensor.dtype.numpy:
            raise ExportError(
                f"{who} gives {tensor.name}: {array.dtype}{list(array.shape)} at {_shown(sizes)}, "
                f"declared is {tensor.declaration}",
                remedy,
            )


def _shown(sizes: dict[str, int]) -> str:
    return ", ".join(f"{axis}={size}" for axis, size in sizes.items()) or "fixed sizes"
