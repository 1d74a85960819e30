"""Step functions, run in a child: (spec, out folder, arguments) in, JSON-able result out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused
from nosbuild.export.saving import MODEL_FILE
from nosbuild.plan import RunsOn

if TYPE_CHECKING:
    from nosbuild.optimize.made import Made
    from nosbuild.source.loaded import Arrays, LoadedSource
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec
    from nosbuild.verify.contest import Contestant
    from nosbuild.verify.runner import Runner


def export(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """``out/model.onnx``; the tensors, as the source told them."""
    from nosbuild.export.run import export_onnx

    return export_onnx(spec, out)


def references(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """The source's answers to every sample."""
    from nosbuild.verify.references import collect_references

    return collect_references(spec, out)


def slim(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """A simpler graph of standard ONNX."""
    from nosbuild.optimize.slim import slim as made

    return _told(lambda: made(Path(artifact) / MODEL_FILE, out))


def fuse(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """Operators of ONNX Runtime's own in place of many small ones."""
    from nosbuild.optimize.fuse import fuse as made

    return _told(lambda: made(Path(artifact) / MODEL_FILE, out))


def fp16(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """Half precision; inputs and outputs stay as they are."""
    from nosbuild.optimize.fp16 import fp16 as made

    return _told(lambda: made(Path(artifact) / MODEL_FILE, out))


def bf16(spec: ModelSpec, out: Path, artifact: str) -> dict[str, Any]:
    """bfloat16; inputs and outputs stay as they are."""
    from nosbuild.optimize.bf16 import bf16 as made

    return _told(lambda: made(Path(artifact) / MODEL_FILE, out))


def smooth(
    spec: ModelSpec, out: Path, artifact: str, references: str, tensors: dict[str, Any]
) -> dict[str, Any]:
    """Channels that are wide on the samples made narrower; a graph without any goes on as it is."""
    from nosbuild.optimize.made import Made
    from nosbuild.optimize.smooth import smooth as made

    items, batched = _items(spec, references, tensors)
    try:
        smoothed = made(Path(artifact) / MODEL_FILE, out, items, batched)
    except Refused as exc:
        for file in Path(artifact).glob("model.*"):
            shutil.copyfile(file, out / file.name)
        smoothed = Made(how="", details={"not smoothed": exc.message})
    return smoothed.model_dump(mode="json")


def int8_dynamic(
    spec: ModelSpec, out: Path, artifact: str, references: str, tensors: dict[str, Any]
) -> dict[str, Any]:
    """8-bit weights; ranges of activations are taken at every run."""
    from nosbuild.optimize.int8_dynamic import int8_dynamic as made

    items, batched = _items(spec, references, tensors)
    return _told(lambda: made(Path(artifact) / MODEL_FILE, out, items=items, batched=batched))


def int8_static(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    references: str,
    tensors: dict[str, Any],
    for_tensorrt: bool = False,
) -> dict[str, Any]:
    """8-bit weights and activations, with ranges calibrated on all samples."""
    from nosbuild.optimize.int8_static import int8_static as made

    items, batched = _items(spec, references, tensors)
    source = Path(artifact) / MODEL_FILE
    return _told(lambda: made(source, out, items, batched, for_tensorrt=for_tensorrt))


def int8_tensorrt(
    spec: ModelSpec, out: Path, artifact: str, references: str, tensors: dict[str, Any]
) -> dict[str, Any]:
    """The same, as TensorRT reads it."""
    return int8_static(spec, out, artifact, references, tensors, for_tensorrt=True)


def tensorrt(spec: ModelSpec, out: Path, artifact: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """``out/model.plan``, for the sizes of the spec."""
    from nosbuild.optimize.tensorrt.profiles import profiles_from
    from nosbuild.optimize.tensorrt.tensorrt_from_onnx import tensorrt_from_onnx

    profiles = profiles_from(complete(spec, tensors))
    return _told(lambda: tensorrt_from_onnx(Path(artifact) / MODEL_FILE, out, profiles=profiles))


def rescue(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    optimisation: str,
    variant: dict[str, Any],
    references: str,
    tensors: dict[str, Any],
) -> dict[str, Any]:
    """The same optimisation with some nodes left out of it, so that the bars hold."""
    from nosbuild.steps.conversions import conversion_of
    from nosbuild.steps.rescuing import rescue_conversion
    from nosbuild.verify.references import read_references

    found = read_references(Path(references))
    known = complete(spec, tensors)
    source = Path(artifact) / MODEL_FILE

    def made() -> Made:
        conversion = conversion_of(optimisation, source, found.inputs, bool(known.is_batched))
        return rescue_conversion(known, out, conversion, found, RunsOn(**variant["runs_on"]))

    return _told(made)


def prove(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    variant: dict[str, Any],
    references: str,
    tensors: dict[str, Any],
    half: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The Proof; ``half`` tells how an fp16 artifact was made, to be rounded as a GPU would."""
    from nosbuild.verify.references import read_references
    from nosbuild.verify.run import prove as prove_variant
    from nosbuild.verify.runner import open_runner

    folder = Path(artifact)
    proof = prove_variant(
        complete(spec, tensors),
        open_runner(folder, RunsOn(**variant["runs_on"])),
        folder,
        variant["name"],
        read_references(Path(references)),
        _rounding(half, out) if half else None,
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
    """The Contest of all variants that run, on golden samples; ``source`` names the original."""
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
        optional = bool(row.get("optional"))
        return TensorSpec(tensor.name, tensor.dtype, tensor.shape, low_high, optional)

    inputs = tuple(parsed(row) for row in described["inputs"])
    outputs = tuple(parsed(row) for row in described["outputs"])
    return inputs, outputs


def _told(make: Callable[[], Made]) -> dict[str, Any]:
    """What was made; a refusal is an answer too, and is kept like one."""
    try:
        return make().model_dump(mode="json")
    except Refused as exc:
        return {"refused": exc.message}


def _items(spec: ModelSpec, references: str, tensors: dict[str, Any]) -> tuple[list[Arrays], bool]:
    """Every sample that the source was run on, and whether they lack a batch axis."""
    from nosbuild.verify.references import read_references

    return read_references(Path(references)).inputs, bool(complete(spec, tensors).is_batched)


def _rounding(half: dict[str, Any], out: Path) -> Runner:
    """ONNX Runtime computes 16 bits in 32 on a CPU: nothing overflows there. This rounds."""
    from nosbuild.optimize.emulating import emulate
    from nosbuild.optimize.half import FLOAT16
    from nosbuild.verify.runners import OnnxRuntimeRunner

    source = Path(half["source"]) / MODEL_FILE
    return OnnxRuntimeRunner(emulate(source, out, FLOAT16, half["keep"]))


def _contestant(row: dict[str, Any], placements: tuple[Any, ...]) -> Contestant:
    from nosbuild.verify.contest import Contestant
    from nosbuild.verify.runner import open_runner

    folder, runs_on = Path(row["artifact"]), RunsOn(**row["runs_on"])
    return Contestant(
        row["name"],
        partial(open_runner, folder, runs_on),
        sum(file.stat().st_size for file in folder.glob("model.*")),
        placements[:1] if runs_on.needs_gpu else placements,
        may_be_published=row["proven"],
    )


@dataclass(frozen=True)
class _Threaded:
    """A source that sets its threads at every run: they are one setting of the whole process."""

    source: LoadedSource
    threads: int

    def run(self, inputs: Arrays) -> Arrays:
        self.source.use_threads(self.threads)
        return self.source.run(inputs)


def _original(spec: ModelSpec, name: str, placements: tuple[Any, ...]) -> Contestant:
    """The source itself, one instance with every thread."""
    from nosbuild.plan import Placement
    from nosbuild.source.load import load_source
    from nosbuild.verify.contest import Contestant

    source, _ = load_source(spec)

    def opened(*, threads: int, spinning: bool) -> Any:
        return _Threaded(source, threads)

    threads = max(p.instances * p.threads for p in placements)
    # Libraries that do not gain by more threads are measured at their best, too.
    shares = tuple(dict.fromkeys((Placement(1, threads), Placement(1, 1))))
    return Contestant(name, opened, 0, shares, may_be_published=False)
