"""A planned variant goes in; what became of it (made, rescued, proven or not) comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError, InternalError, Refused
from nosbuild.optimize.tensorrt.profiles import profiles_from
from nosbuild.plan import PlannedVariant
from nosbuild.report.build_report import Verdict
from nosbuild.spec import ModelSpec
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.optimizing import MAKERS
from nosbuild.store.hashing import sha256_of_value
from nosbuild.store.store import Entry
from nosbuild.verify.proof import Proof


@dataclass(frozen=True)
class Artifact:
    """A folder with ``model.onnx`` or ``model.plan``, and how it came about."""

    folder: Path
    files: dict[str, str]
    """Name -> sha256."""
    how: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    """Of the last step."""

    @property
    def digest(self) -> str:
        """Of the files alone: what is made from equal bytes is made once."""
        return sha256_of_value(self.files)

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum((self.folder / name).stat().st_size for name in self.files)


@dataclass(frozen=True)
class Candidate:
    """A variant, as far as it came."""

    planned: PlannedVariant
    verdict: Verdict
    reason: str
    artifact: Artifact | None = None
    proof: Proof | None = None
    base: Artifact | None = None
    """What the last step of its recipe was made from."""

    @property
    def missed_a_bar(self) -> bool:
        """True where it runs, and answers, but not well enough."""
        return self.proof is not None and not self.proof.passed and not self.proof.reasons

    @property
    def can_be_rescued(self) -> bool:
        """True where leaving nodes out of its conversion may help."""
        recipe = self.planned.recipe
        return self.missed_a_bar and bool(recipe) and MAKERS[recipe[-1]].rescued


def artifact_of(entry: Entry, made_before: tuple[str, ...] = ()) -> Artifact:
    """The artifact that a step wrote.

    Raises:
        Refused: the step answered that it cannot be made.
    """
    if "refused" in entry.result:
        raise Refused(entry.result["refused"])
    files = {name: digest for name, digest in entry.files.items() if name.startswith("model.")}
    how = entry.result.get("how", "")
    return Artifact(
        entry.folder,
        files,
        (*made_before, how) if how else made_before,
        entry.result.get("details", {}),
    )


@dataclass
class Candidates:
    """Makes and proves variants of one export."""

    steps: CachedSteps
    complete: ModelSpec
    """The spec with its tensors known."""
    exported: Artifact
    references: Entry
    tensors: dict[str, Any]
    """As the export described them."""
    can_run_gpu: bool
    found: list[Candidate] = field(default_factory=list)

    def add(self, planned: PlannedVariant) -> Candidate:
        """Make it and prove it.

        Raises:
            InputError: the spec's own material (a metric, a sample) is wrong.
            InternalError: a mistake of ours.
        """
        candidate = self._try(planned)
        self.found.append(candidate)
        self._tell(candidate)
        return candidate

    def rescue(self, candidate: Candidate) -> bool:
        """Make one that missed a bar again, with some nodes left out; True where that is proven.

        Raises:
            InputError, InternalError: as ``add``.
        """
        position = self.found.index(candidate)
        try:
            rescued = self._rescued(candidate)
        except (Refused, HostError) as exc:
            rescued = replace(candidate, reason=f"{candidate.reason}\n{exc.message}")
        self.found[position] = rescued
        self._tell(rescued)
        return rescued.verdict == "proven"

    def _tell(self, candidate: Candidate) -> None:
        self.steps.progress.judged(
            self.steps.spec.name, candidate.planned.name, candidate.verdict, candidate.reason
        )

    def _try(self, planned: PlannedVariant) -> Candidate:
        artifact: Artifact | None = None
        try:
            base, artifact = self._make(planned)
            if artifact.details.get("changed") is False and not planned.runs_on.needs_gpu:
                return Candidate(planned, "skipped", artifact.how[-1])
            same = self._same_as(planned, artifact)
            if same:
                return Candidate(planned, "skipped", f"its file is that of {same}")
            if planned.runs_on.needs_gpu and not self.can_run_gpu:
                return Candidate(planned, "unproven", "built, not proven here: no GPU", artifact)
            proof = self._prove(planned, base, artifact)
        except (Refused, HostError) as exc:
            if not planned.recipe:
                raise
            return Candidate(planned, "refused", exc.message, artifact)
        if proof.passed:
            return Candidate(planned, "proven", "", artifact, proof, base)
        return Candidate(planned, "refused", proof.refusal(), artifact, proof, base)

    def _make(self, planned: PlannedVariant) -> tuple[Artifact, Artifact]:
        """What its last step is made from, and what that made."""
        base = artifact = self.exported
        for count, step in enumerate(planned.recipe, start=1):
            base = artifact
            made_from, arguments = self._needs(step, base)
            entry = self.steps.run(
                step, made_from, arguments, label="-".join(planned.recipe[:count])
            )
            artifact = artifact_of(entry, base.how)
        return base, artifact

    def _needs(self, step: str, base: Artifact) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the step's key and its function need beside the spec."""
        made_from: dict[str, Any] = {"the artifact": base.digest}
        arguments: dict[str, Any] = {"artifact": str(base.folder)}
        if MAKERS[step].needs_samples:
            made_from["the samples"] = self.references.digest
            arguments["references"] = str(self.references.folder)
        if MAKERS[step].makes_plan or MAKERS[step].needs_samples:
            made_from["the tensors"] = sha256_of_value(self.tensors)
            arguments["tensors"] = self.tensors
        if MAKERS[step].makes_plan:
            profiles = profiles_from(self.complete)
            made_from["the profiles"] = [profile.as_data() for profile in profiles]
        return made_from, arguments

    def _same_as(self, planned: PlannedVariant, artifact: Artifact) -> str:
        for other in self.found:
            if (
                other.artifact is not None
                and other.artifact.digest == artifact.digest
                and other.planned.runs_on == planned.runs_on
            ):
                return other.planned.name
        return ""

    def _prove(
        self, planned: PlannedVariant, base: Artifact, artifact: Artifact, note: str = ""
    ) -> Proof:
        half: dict[str, Any] = {}
        if planned.recipe[-1:] == ("fp16",):
            half = {"keep": artifact.details.get("kept", [])}
        label = f"prove {planned.name} {note}".strip()
        proven = self.steps.run(
            "prove",
            {
                "the artifact": artifact.digest,
                "the source's answers": self.references.digest,
                "the tensors": sha256_of_value(self.tensors),
                "the variant": described(planned),
                "rounding": {**half, "of": base.digest} if half else {},
            },
            {
                "artifact": str(artifact.folder),
                "variant": described(planned),
                "references": str(self.references.folder),
                "tensors": self.tensors,
                "half": {**half, "source": str(base.folder)} if half else None,
            },
            label=label,
        )
        return Proof.model_validate(proven.result)

    def _rescued(self, candidate: Candidate) -> Candidate:
        """The same optimisation with some nodes left out of it.

        Raises:
            Refused: no set of nodes keeps to the bars.
        """
        planned, base = candidate.planned, candidate.base
        if base is None:
            raise InternalError(f"{planned.name} was not made from anything")
        step = planned.recipe[-1]
        entry = self.steps.run(
            "rescue",
            {
                "the artifact": base.digest,
                "the optimisation": step,
                "the source's answers": self.references.digest,
                "the tensors": sha256_of_value(self.tensors),
                "the variant": described(planned),
            },
            {
                "artifact": str(base.folder),
                "optimisation": step,
                "variant": described(planned),
                "references": str(self.references.folder),
                "tensors": self.tensors,
            },
            label=f"rescue {planned.name}",
        )
        artifact = artifact_of(entry, base.how)
        proof = self._prove(planned, base, artifact, "rescued")
        if not proof.passed:
            return replace(candidate, reason=f"{candidate.reason}\nrescued: {proof.refusal()}")
        return Candidate(planned, "proven", "", artifact, proof, base)


def described(planned: PlannedVariant) -> dict[str, Any]:
    """A variant as a step's argument."""
    return {"name": planned.name, "runs_on": asdict(planned.runs_on)}
