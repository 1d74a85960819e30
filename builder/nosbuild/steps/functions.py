"""Step functions, run in a child: (spec, out folder, arguments) in, JSON-able result out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec


def export(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """``out/model.onnx``; the tensors, as the source told them."""
    from nosbuild.export.run import export_onnx

    return export_onnx(spec, out)


def prove(spec: ModelSpec, out: Path, artifact: str, variant: str) -> dict[str, Any]:
    """``out/golden``; the Proof."""
    from nosbuild.verify.run import prove as prove_variant

    return prove_variant(spec, Path(artifact), variant, out).model_dump(mode="json")


def measure(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    golden: str,
    tensors: dict[str, Any],
    placements: list[list[int]],
) -> dict[str, Any]:
    """The Measurement, on golden samples."""
    from nosbuild.plan import Placement
    from nosbuild.verify.golden import read_golden
    from nosbuild.verify.measure import measure as measure_variant
    from nosbuild.verify.run import batch_sizes

    inputs, outputs = tensors_from(tensors)
    spec = spec.with_tensors(inputs, outputs, tensors["default_dims"])
    measurement = measure_variant(
        Path(artifact),
        [sample.inputs for sample in read_golden(Path(golden))],
        batch_sizes(spec),
        spec.dim_range("batch").typical if spec.is_batched else 1,
        [Placement(*row) for row in placements],
        spec.objective.kind,
        spec.objective.p99_ms,
        batched=bool(spec.is_batched),
    )
    return measurement.model_dump(mode="json")


def tensors_from(
    described: dict[str, Any],
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs as the export step described them."""
    from nosbuild.tensors import TensorSpec

    def parsed(row: dict[str, Any]) -> TensorSpec:
        tensor = TensorSpec.parse(row["name"], row["declaration"])
        low_high = tuple(row["range"]) if row["range"] else None
        return TensorSpec(tensor.name, tensor.dtype, tensor.shape, low_high)

    inputs = tuple(parsed(row) for row in described["inputs"])
    outputs = tuple(parsed(row) for row in described["outputs"])
    return inputs, outputs
