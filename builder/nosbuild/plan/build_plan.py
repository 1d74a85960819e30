"""A ModelSpec and HostFacts go in; variants to try, and reasons for those left out, come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nosbuild.plan.host import HostFacts
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class PlannedVariant:
    """One way to serve the model."""

    name: str
    backend: str
    """Triton's name of the backend that runs it."""
    precision: str


@dataclass(frozen=True)
class Skip:
    """Something the spec asks for that this build leaves out, and why."""

    what: str
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
    variants: tuple[PlannedVariant, ...]
    skips: tuple[Skip, ...]
    placements: tuple[Placement, ...]

    def describe(self) -> str:
        """The plan in a few lines."""
        lines = [f"{self.model}: from {self.source_kind}"]
        lines += [f"  try   {v.name} ({v.precision}, backend {v.backend})" for v in self.variants]
        lines += [f"  skip  {skip.what}: {skip.reason}" for skip in self.skips]
        shares = ", ".join(f"{p.instances} x {p.threads}" for p in self.placements)
        lines.append(f"  instances x threads to measure: {shares}")
        return "\n".join(lines)


def plan_build(spec: ModelSpec, host: HostFacts) -> BuildPlan:
    """Decide what to try for this spec on this host; pure."""
    wanted = ("fp32", "fp16", "bf16", "int8") if spec.precision == "auto" else spec.precision
    skips = tuple(
        Skip(precision, "this version of nosbuild makes fp32 variants only")
        for precision in wanted
        if precision != "fp32"
    )
    # fp32 is always built: it is the fallback that every other variant is measured against.
    return BuildPlan(
        model=spec.name,
        source_kind=spec.source.kind,
        variants=(PlannedVariant("onnx-fp32", "onnxruntime", "fp32"),),
        skips=skips,
        placements=placements(spec, host),
    )


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
