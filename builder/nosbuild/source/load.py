"""A ModelSpec goes in; the loaded source, and the spec completed with its tensors, come out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nosbuild.errors import HostError, SourceError
from nosbuild.source.states import check_states
from nosbuild.tensors import BATCH

if TYPE_CHECKING:
    from nosbuild.source.loaded import LoadedSource
    from nosbuild.spec import ModelSpec

LOADERS: dict[str, str] = {
    "torch": "nosbuild.source.torch_module:load",
    "huggingface": "nosbuild.source.huggingface_model:load",
    "onnx": "nosbuild.source.onnx_file:load",
    "sklearn": "nosbuild.source.sklearn_estimator:load",
}
"""Source kind -> function(ModelSpec) -> LoadedSource."""

_EXTRAS = {"torch": "torch", "huggingface": "torch", "sklearn": "sklearn", "onnx": ""}


def load_source(spec: ModelSpec) -> tuple[LoadedSource, ModelSpec]:
    """Load the user's model; the spec comes back with every tensor and axis known.

    Raises:
        SourceError: the model is missing or is not what the spec says.
        SpecError: the tensors that the model itself tells do not go with the rest of the spec.
        HostError: the library for this kind of source is not installed.
    """
    module_name, function = LOADERS[spec.source.kind].split(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as exc:
        extra = _EXTRAS[spec.source.kind]
        remedy = f"pip install 'nosbuild[{extra}]'" if extra else "pip install nosbuild"
        raise HostError(
            f"source.{spec.source.kind} needs {exc.name}, which is not installed", remedy
        ) from exc
    source: LoadedSource = getattr(module, function)(spec)
    for tensor in (*source.inputs, *source.outputs):
        if tensor.dtype.name == "bfloat16":
            raise SourceError(
                f"{tensor.name} is {tensor.declaration}: neither numpy nor ONNX Runtime's "
                "Python interface carries bfloat16 tensors",
                "Cast inputs and outputs to float32 in the model; its weights may stay bfloat16.",
            )
    spec = spec.with_tensors(source.inputs, source.outputs, source.default_dims)
    check_batch(spec)
    check_states(spec)
    return source, spec


def check_batch(spec: ModelSpec) -> None:
    """Triton sends batches of every size up to the largest, whatever a spec says of the least.

    Raises:
        SpecError: the least is more than 1.
    """
    if spec.is_batched and (span := spec.dim_range(BATCH)).min != 1:
        raise spec.error(
            ("dims", BATCH),
            f"{span} does not start at 1, but Triton sends batches of any size up to {span.max}",
            f"write 1..{span.typical}..{span.max}; for a model that takes one size only, write the "
            f"number in place of batch: float32[{span.max}, ...]",
        )
