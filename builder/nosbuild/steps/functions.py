"""Step functions, run in a child: (spec, out folder, arguments) in, JSON-able result out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused

if TYPE_CHECKING:
    from nosbuild.optimize.made import Made
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec
    from nosbuild.verify.contest import Contestant

ONNX = "model.onnx"


def export(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """``out/model.onnx``; the tensors, as the source told them."""
    from nosbuild.export.run import export_onnx

    return export_onnx(spec, out)


def references(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """The source's answers to every sample."""
    from nosbuild.verify.references import collect_references, read_references

    collect_references(spec, out)
    found = read_references(out)
    return {"samples": len(found.items), "real": found.real, "reasons": list(found.reasons)}


def slim(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """A simpler graph of standard ONNX."""
    from nosbuild.optimize.slim import slim as simplify

    return _told(lambda: simplify(Path(artifact) / ONNX, out))


def fuse(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """Operators of ONNX Runtime's own in place of many small ones."""
    from nosbuild.optimize.fuse import fuse as fused

    return _told(lambda: fused(Path(artifact) / ONNX, out))


def fp16(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """Half precision; inputs and outputs stay as they are."""
    from nosbuild.optimize.fp16 import fp16 as halved

    return _told(lambda: halved(Path(artifact) / ONNX, out))


def prove(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    variant: dict[str, Any],
    references: str,
    tensors: dict[str, Any],
) -> dict[str, Any]:
    """The Proof."""
    from nosbuild.verify.references import read_references
    from nosbuild.verify.run import prove as prove_variant
    from nosbuild.verify.runner import open_runner

    folder = Path(artifact)
    proof = prove_variant(
        complete(spec, tensors),
        open_runner(folder, variant["backend"], variant["accelerator"]),
        folder,
        variant["name"],
        read_references(Path(references)),
    )
    return proof.model_dump(mode="json")


def measure(
    spec: ModelSpec,
    out: Path,
    variants: list[dict[str, Any]],
    source: str,
    golden: str,
    tensors: dict[str, Any],
    placements: list[list[int]],
) -> dict[str, Any]:
    """The Contest of all proven variants, on golden samples; ``source`` names the original."""
    from nosbuild.plan import Placement
    from nosbuild.verify.contest import Goal, hold
    from nosbuild.verify.golden import read_golden
    from nosbuild.verify.references import batch_sizes

    items = [sample.inputs for sample in read_golden(Path(golden))]
    shares = tuple(Placement(*row) for row in placements)
    contestants = [_contestant(row, shares) for row in variants]
    if source:
        contestants.append(_original(spec, source, shares))
    spec = complete(spec, tensors)
    contest = hold(
        contestants,
        items,
        batch_sizes(spec),
        spec.dim_range("batch").typical if spec.is_batched else 1,
        Goal(spec.objective.kind, spec.objective.p99_ms),
        batched=bool(spec.is_batched),
    )
    return contest.model_dump(mode="json")


def complete(spec: ModelSpec, tensors: dict[str, Any]) -> ModelSpec:
    """The spec with the tensors that the export told."""
    inputs, outputs = tensors_from(tensors)
    return spec.with_tensors(inputs, outputs, tensors["default_dims"])


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


def _told(make: Callable[[], Made]) -> dict[str, Any]:
    """What was made; a refusal is an answer too, and is kept like one."""
    try:
        return make().model_dump(mode="json")
    except Refused as exc:
        return {"refused": exc.message}


def _contestant(row: dict[str, Any], placements: tuple[Any, ...]) -> Contestant:
    from nosbuild.verify.contest import Contestant
    from nosbuild.verify.runner import open_runner

    folder = Path(row["artifact"])
    return Contestant(
        row["name"],
        partial(open_runner, folder, row["backend"], row["accelerator"]),
        sum(file.stat().st_size for file in folder.glob("model.*")),
        placements if not row["needs_gpu"] else placements[:1],
    )


def _original(spec: ModelSpec, name: str, placements: tuple[Any, ...]) -> Contestant:
    """The source itself, one instance with every thread."""
    from nosbuild.plan import Placement
    from nosbuild.source.load import load_source
    from nosbuild.verify.contest import Contestant

    source, _ = load_source(spec)

    def opened(*, threads: int, spinning: bool) -> Any:
        source.use_threads(threads)
        return source

    threads = max(p.instances * p.threads for p in placements)
    return Contestant(name, opened, 0, (Placement(1, threads),), may_be_published=False)
