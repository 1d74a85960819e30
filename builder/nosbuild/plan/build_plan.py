"""A ModelSpec and HostFacts go in; variants to try, and reasons for those left out, come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nosbuild.plan.target import Target
from nosbuild.plan.variants import BASELINE, ENSEMBLE, PYTHON, VARIANTS, PlannedVariant
from nosbuild.spec.precision import PRECISIONS

if TYPE_CHECKING:
    from nosbuild.plan.host import HostFacts
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class Skip:
    """Something the spec asks for that this build leaves out, and why."""

    what: str
    precision: str
    """That it would have had."""
    reason: str


@dataclass(frozen=True)
class Placement:
    """How the processors are shared out: instances, each with its own intra-op threads."""

    instances: int
    threads: int


@dataclass(frozen=True)
class BuildPlan:
    """What a build will do, before it does anything."""

    model: str
    source_kind: str
    target: Target
    variants: tuple[PlannedVariant, ...]
    skips: tuple[Skip, ...]
    placements: tuple[Placement, ...]

    def describe(self) -> str:
        """The plan in a few lines."""
        lines = [f"{self.model}: from {self.source_kind}, to run on {self.target}"]
        for variant in self.variants:
            first = _FIRST_STEPS.get(variant.name, "export")
            made = " -> ".join([first, *variant.recipe])
            lines.append(f"  try   {variant.name} ({made}; backend {variant.runs_on.backend})")
        lines += [f"  skip  {skip.what}: {skip.reason}" for skip in self.skips]
        shares = ", ".join(f"{p.instances} x {p.threads}" for p in self.placements)
        if shares:
            lines.append(f"  instances x threads to measure: {shares}")
        return "\n".join(lines)


_FIRST_STEPS = {PYTHON.name: "package", ENSEMBLE.name: "compile"}


def plan_build(spec: ModelSpec, host: HostFacts, target: Target) -> BuildPlan:
    """Decide what to try for this spec on this host; pure."""
    if spec.source.kind == "python":
        return BuildPlan(spec.name, spec.source.kind, target, (PYTHON,), (), ())
    if spec.source.kind == "pipeline":
        return BuildPlan(spec.name, spec.source.kind, target, (ENSEMBLE,), (), ())
    wanted = PRECISIONS if spec.precision == "auto" else spec.precision
    variants: list[PlannedVariant] = []
    skips: list[Skip] = []
    for variant in VARIANTS:
        # fp32 is always built: it is the fallback that every other variant is measured against.
        if variant.name != BASELINE and variant.precision not in wanted:
            continue
        if target.kind not in variant.targets:
            continue
        reason = _cannot(variant, host)
        if reason:
            skips.append(Skip(variant.name, variant.precision, reason))
        else:
            variants.append(variant)
    planned = {one.precision for one in variants} | {skip.precision for skip in skips}
    skips += [
        Skip(precision, precision, f"no variant of it runs on a {target.kind}")
        for precision in wanted
        if precision not in planned
    ]
    return BuildPlan(
        model=spec.name,
        source_kind=spec.source.kind,
        target=target,
        variants=tuple(variants),
        skips=tuple(skips),
        placements=placements(spec, host),
    )


def _cannot(variant: PlannedVariant, host: HostFacts) -> str:
    """Why the variant cannot even be made here; empty where it can."""
    if variant.runs_on.backend == "tensorrt":
        flavours = [name for name in host.libraries if name.startswith("tensorrt")]
        if not flavours:
            return "TensorRT is not installed (pip install tensorrt-cu13, or tensorrt-rtx-cu13)"
        if not host.gpus and not any(name.startswith("tensorrt-rtx") for name in flavours):
            return "no GPU here, and TensorRT builds on one only (tensorrt-rtx-cu13 does without)"
    if variant.runs_on.accelerator and "onnxruntime-gpu" not in host.libraries:
        return "ONNX Runtime has no GPU support here (pip install onnxruntime-gpu)"
    if variant.runs_on.accelerator and not host.gpus:
        return "no GPU here"
    return ""


def placements(spec: ModelSpec, host: HostFacts) -> tuple[Placement, ...]:
    """The placements to measure: what the spec fixes, otherwise the powers of two between one
    instance with every processor and one instance on each processor.
    """
    count, threads = spec.instances.count, spec.instances.threads
    if isinstance(count, int):
        return (Placement(count, threads or max(1, host.cpus // count)),)
    if threads:
        return (Placement(max(1, host.cpus // threads), threads),)
    counts = {host.cpus}
    size = 1
    while size < host.cpus:
        counts.add(size)
        size *= 2
    return tuple(Placement(n, max(1, host.cpus // n)) for n in sorted(counts))
