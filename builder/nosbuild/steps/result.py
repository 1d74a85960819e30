"""What a build did, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.report.build_report import BuildReport, VariantReport
    from nosbuild.verify.measure import Measurement
    from nosbuild.verify.proof import Proof


@dataclass(frozen=True)
class StepOutcome:
    """One step of one build."""

    step: str
    cached: bool
    why: str
    """Why it ran, or that nothing had changed."""
    seconds: float
    model: str
    """That it was for: the built one, or a further method of its class."""


@dataclass(frozen=True, repr=False)
class BuildResult:
    """A published model: what it is, how it was proven, how fast it is here."""

    name: str
    folder: Path
    version: int
    is_new: bool
    """False where nothing had changed and the published version stands."""
    artifact_bytes: int
    replaced: str
    """Name of the variant that the version before it serves; empty where it is the first."""
    proof: Proof
    measurement: Measurement
    """Without figures for an engine that nothing here can run."""
    report: BuildReport
    """Every variant that was tried."""
    plan: BuildPlan
    steps: tuple[StepOutcome, ...]
    others: tuple[BuildResult, ...] = ()
    """Further methods of the same class, each a model of its own."""
    notes: tuple[str, ...] = ()
    """What its user should know, a sentence each."""

    def __repr__(self) -> str:
        """Two lines: what is published and where, and what the report says of it."""
        state = "published" if self.is_new else "unchanged"
        further = f", with {', '.join(one.name for one in self.others)}" if self.others else ""
        return (
            f"<BuildResult {self.name}: {self.variant} {state} as version {self.version} in "
            f"{self.folder}{further}\n {self.report.headline}>"
        )

    def with_others(self, others: Iterable[BuildResult]) -> BuildResult:
        """The same with further methods, and the steps of them all."""
        found = tuple(others)
        return replace(self, others=found, steps=(found or (self,))[-1].steps)

    def noting(self, notes: Iterable[str]) -> BuildResult:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def models(self) -> tuple[BuildResult, ...]:
        """Every Triton model that the build published: this one, then the others."""
        return (self, *self.others)

    @property
    def variant(self) -> str:
        """Name of the published variant."""
        return self.report.published

    @property
    def variants(self) -> tuple[VariantReport, ...]:
        """Every variant, the source first."""
        return self.report.variants

    @property
    def items_per_second(self) -> float | None:
        """Throughput in this process of the placement chosen, at the typical batch."""
        chosen = self.measurement.chosen
        return chosen.items_per_second if chosen else None

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "version": self.version,
            "is_new": self.is_new,
            "variant": self.variant,
            "headline": self.report.headline,
            "artifact_bytes": self.artifact_bytes,
            "proof": {**self.proof.model_dump(mode="json"), "passed": self.proof.passed},
            "measurement": self.measurement.model_dump(mode="json"),
            "variants": [row.model_dump(mode="json") for row in self.variants],
            "skipped": [asdict(skip) for skip in self.plan.skips],
            "notes": list(self.notes),
            "steps": [asdict(step) for step in self.steps],
            **({"methods": [one.as_json() for one in self.others]} if self.others else {}),
        }
