"""``source: {onnx: ...}`` goes in; the model, run as it is by ONNX Runtime, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime

from nosbuild.errors import SourceError
from nosbuild.source.references import call, load_callable, resolve_path
from nosbuild.spec.references import names_python_file
from nosbuild.tensors import BATCH, Dim, TensorSpec, dtype_from_onnx

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


_UNKNOWN_SHAPE: tuple[Dim, ...] = ("...",)
"""Of a tensor whose rank the file leaves open; no spec can write it."""


class OnnxSource:
    """An ONNX model as a LoadedSource: run without any graph optimisation, as the reference."""

    def __init__(self, model: Path | onnx.ModelProto, spec: ModelSpec) -> None:
        """``model``: a file, or what the user's own code made."""
        self.model = model
        self.default_dims: dict[str, str] = {}
        is_file = isinstance(model, Path)
        try:
            header: Any = onnx.load(str(model), load_external_data=False) if is_file else model
            stored = str(model) if isinstance(model, Path) else model.SerializeToString()
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            self.session = onnxruntime.InferenceSession(
                stored, options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:
            what = str(model) if is_file else f"what {spec.source.reference} returned"
            raise SourceError(
                f"source.onnx: {what} cannot be loaded: {exc}",
                "Check that it is a complete ONNX file (with its external data beside it)."
                if is_file
                else "Check it with onnx.checker.check_model before you return it.",
            ) from exc
        constants = {tensor.name for tensor in header.graph.initializer}
        graph_inputs = [value for value in header.graph.input if value.name not in constants]
        self.inputs = _declared("inputs", spec.input_tensors, graph_inputs)
        self.outputs = _declared("outputs", spec.output_tensors, list(header.graph.output))
        if spec.input_tensors is None:
            self.inputs, self.outputs = _name_batch_axis(self.inputs, self.outputs)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file as it stands."""
        names = [tensor.name for tensor in self.outputs]
        return dict(zip(names, self.session.run(names, inputs), strict=True))

    def run_precise(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """None: a file has the precision it has."""
        return None

    def use_threads(self, count: int) -> None:
        """Nothing: the session keeps the threads it was opened with."""


def load(spec: ModelSpec) -> OnnxSource:
    """Load the file, or call what makes the model.

    Raises:
        SourceError: it is missing, broken, or has other tensors than the spec declares.
    """
    reference = spec.source.reference
    if not names_python_file(reference):
        return OnnxSource(resolve_path(reference, spec.folder), spec)
    what = f"source.onnx: {reference}"
    model = call(load_callable(reference, spec.folder), what, spec.folder)
    if not isinstance(model, onnx.ModelProto):
        raise SourceError(
            f"{what} returned a {type(model).__name__}, not an ONNX model",
            "Return an onnx.ModelProto, as onnx.load gives it.",
        )
    return OnnxSource(model, spec)


def _declared(
    section: str, declared: tuple[TensorSpec, ...] | None, values: list[Any]
) -> tuple[TensorSpec, ...]:
    """The spec's tensors, checked against the file's; the file's own where the spec has none."""
    found = {value.name: _tensor(value) for value in values}
    if declared is None:
        for tensor in found.values():
            if tensor.shape == _UNKNOWN_SHAPE:
                raise SourceError(
                    f"{section}.{tensor.name}: the file does not tell its shape",
                    f"Declare {section} in the model.yaml.",
                )
        return tuple(found.values())
    for tensor in declared:
        if tensor.name not in found:
            raise SourceError(
                f"{section}.{tensor.name}: the file has no such {section[:-1]}",
                f"It has {', '.join(f'{t.name}: {t.declaration}' for t in found.values())}.",
            )
        _check_fits(section, tensor, found[tensor.name])
    missing = [name for name in found if name not in {tensor.name for tensor in declared}]
    if missing and section == "inputs":
        raise SourceError(
            f"inputs: the file also needs {', '.join(missing)}",
            f"Add {', '.join(f'{name}: {found[name].declaration}' for name in missing)}.",
        )
    return declared


def _check_fits(section: str, tensor: TensorSpec, found: TensorSpec) -> None:
    if found.shape == _UNKNOWN_SHAPE and tensor.dtype == found.dtype:
        return  # the runs before the export will show it
    fits = tensor.dtype == found.dtype and len(tensor.shape) == len(found.shape)
    if fits:
        pairs = zip(tensor.shape, found.shape, strict=True)
        fits = all(isinstance(theirs, str) or ours == theirs for ours, theirs in pairs)
    if not fits:
        remedy = "Write the file's dtype and fixed sizes; names for its varying axes are yours."
        if tensor.is_batched and found.shape and isinstance(found.shape[0], int):
            remedy = (
                f"The file's first axis is fixed at {found.shape[0]}: export it again with a "
                "dynamic batch axis, or declare the file's own sizes and serve it without batching."
            )
        raise SourceError(
            f"{section}.{tensor.name} is {tensor.declaration}, the file has {found.declaration}",
            remedy,
        )


def _tensor(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise SourceError(
            f"source.onnx: {value.name} is a {value.type.WhichOneof('value')}, not a tensor",
            "Export the model again with tensors only (scikit-learn: zipmap=False).",
        )
    element = onnx.TensorProto.DataType.Name(kind.elem_type)
    try:
        dtype = dtype_from_onnx(element)
    except KeyError:
        raise SourceError(
            f"source.onnx: {value.name} is a tensor of {element}, which Triton cannot carry",
            "Add a Cast to a type that it can.",
        ) from None
    if not kind.HasField("shape"):
        return TensorSpec(value.name, dtype, _UNKNOWN_SHAPE)
    shape: list[Dim] = []
    for axis, dim in enumerate(kind.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            shape.append(int(dim.dim_value))
        else:
            shape.append(_axis_name(dim.dim_param) or f"{_axis_name(value.name)}_{axis}")
    return TensorSpec(value.name, dtype, tuple(shape))


def _axis_name(text: str) -> str:
    name = "".join(char if char.isalnum() else "_" for char in text).strip("_")
    return f"d{name}" if name[:1].isdigit() else name


def _name_batch_axis(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Call the first axis ``batch`` where it varies everywhere, under one name in all inputs.

    Whether rows really are independent is for the proof to find out.
    """
    firsts = [tensor.shape[0] if tensor.shape else 0 for tensor in (*inputs, *outputs)]
    names = {tensor.shape[0] for tensor in inputs if tensor.shape}
    if not all(isinstance(first, str) for first in firsts) or len(names) != 1:
        return inputs, outputs
    (old,) = names

    def renamed(tensor: TensorSpec) -> TensorSpec:
        rest = tuple(BATCH if dim == old else dim for dim in tensor.shape[1:])
        return TensorSpec(tensor.name, tensor.dtype, (BATCH, *rest))

    return tuple(map(renamed, inputs)), tuple(map(renamed, outputs))
