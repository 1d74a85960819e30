"""A source that becomes ONNX goes in; its best proven variant, published, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import Refused
from nosbuild.plan import BuildPlan
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.candidates import Candidate, Candidates, artifact_of, described
from nosbuild.steps.functions import tensors_from
from nosbuild.steps.keys import named_source_files
from nosbuild.steps.publishing import publish_variant
from nosbuild.steps.reporting import report_of, rows_of
from nosbuild.steps.result import BuildResult
from nosbuild.store.hashing import sha256_of_value
from nosbuild.verify.choose import WITHIN_NOISE
from nosbuild.verify.contest import Contest
from nosbuild.verify.memory import Memory
from nosbuild.verify.variant import VerifiedVariant, trusted, verified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nosbuild.plan import HostFacts
    from nosbuild.spec import ModelSpec

SOURCES = {"torch": "pytorch-eager", "huggingface": "pytorch-eager", "sklearn": "scikit-learn"}
"""Source kind -> name of the original among the variants; an ONNX file is its own baseline."""


def _speed(contest: Contest, name: str) -> float:
    """Over the baseline's, by what the objective counts."""
    measured = contest.measurements.get(name)
    if measured is None:
        return 0.0
    return measured.over_baseline.value if measured.over_baseline else 1.0


class OnnxWalk:
    """One build through its steps."""

    def __init__(
        self,
        steps: CachedSteps,
        written: ModelSpec,
        plan: BuildPlan,
        trust_unproven: str | None,
    ) -> None:
        self.steps = steps
        self.written = written
        """The spec without what the command line says otherwise."""
        self.plan = plan
        self.spec = steps.spec
        self.host: HostFacts = steps.host
        self.source = SOURCES.get(self.spec.source.kind, "")
        """Name of the original among the variants; empty where it is one of them."""
        self.trust_unproven = trust_unproven

    def run(self, repository: Path) -> BuildResult:
        """Export -> references -> each variant -> measure -> memory -> publish."""
        steps, spec = self.steps, self.spec
        sources = named_source_files(spec)
        steps.read |= sources
        exported = steps.run("export", sources, {})
        tensors = exported.result
        complete = spec.with_tensors(*tensors_from(tensors), tensors["default_dims"])
        references = steps.run("references", sources, {})
        candidates = Candidates(
            steps,
            complete,
            artifact_of(exported),
            references,
            tensors,
            can_run_gpu=bool(self.host.gpus),
        )
        for planned in self.plan.variants:
            candidate = candidates.add(planned)
            self._check_baseline(candidate)
        contest = self._measure(candidates)
        if self._rescue(candidates, contest):
            contest = self._measure(candidates)
        chosen = self._chosen(candidates.found, contest)
        memory = self._memory(chosen, contest, candidates)
        variant = self._sealed(chosen, contest, candidates, memory)
        rows = rows_of(self.plan, candidates.found, contest, chosen, self.source, memory)
        report = report_of(complete, self.plan, self.host, rows, references.result)
        size = chosen.artifact.bytes if chosen.artifact else 0
        return publish_variant(
            steps, self.written, self.plan, variant, report, complete, repository, size
        )

    def _check_baseline(self, candidate: Candidate) -> None:
        if candidate.planned.recipe or candidate.verdict == "proven":
            return
        raise Refused(
            f"{self.spec.name}: {candidate.planned.name} is not proven, and not published:\n"
            f"{candidate.reason}",
            "Mend the model, or set bars in quality: that the model itself can keep.",
        )

    def _rescue(self, candidates: Candidates, contest: Contest) -> bool:
        """Rescue what missed a bar and would be the fastest; True where that made another one."""
        best = _speed(contest, contest.chosen)
        rescued = [
            candidates.rescue(candidate)
            for candidate in list(candidates.found)
            if candidate.can_be_rescued
            and _speed(contest, candidate.planned.name) > best * (1 + WITHIN_NOISE)
        ]
        return any(rescued)

    def _measure(self, candidates: Candidates) -> Contest:
        references = candidates.references
        able = [
            (candidate, candidate.artifact)
            for candidate in candidates.found
            if candidate.artifact and (candidate.verdict == "proven" or candidate.missed_a_bar)
        ]
        placements = [[p.instances, p.threads] for p in self.plan.placements]
        measured = self.steps.run(
            "measure",
            {
                "the variants": {
                    candidate.planned.name: [
                        made.digest,
                        candidate.verdict,
                        described(candidate.planned),
                    ]
                    for candidate, made in able
                },
                "the samples": references.digest,
                "placements": placements,
                "the original": self.source,
            },
            {
                "variants": [
                    {
                        **described(candidate.planned),
                        "artifact": str(made.folder),
                        "proven": candidate.verdict == "proven",
                    }
                    for candidate, made in able
                ],
                "source": self.source,
                "golden": str(references.folder / "golden"),
                "tensors": candidates.tensors,
                "placements": placements,
            },
        )
        return Contest.model_validate(measured.result)

    def _chosen(self, found: Sequence[Candidate], contest: Contest) -> Candidate:
        by_name = {candidate.planned.name: candidate for candidate in found}
        trusted_one = by_name.get(self.trust_unproven or "")
        if trusted_one is None:
            return by_name[contest.chosen]
        if trusted_one.verdict == "unproven":
            return trusted_one
        raise Refused(
            f"{trusted_one.planned.name} cannot be trusted unproven: it was "
            f"{trusted_one.verdict} here{f' ({trusted_one.reason})' * bool(trusted_one.reason)}",
            "Build without --trust-unproven.",
        )

    def _memory(self, chosen: Candidate, contest: Contest, candidates: Candidates) -> Memory | None:
        """Of one instance of the variant chosen; not of one that does not run on this machine."""
        is_elsewhere = chosen.planned.runs_on.needs_gpu and not self.host.gpus
        if chosen.artifact is None or is_elsewhere:
            return None
        speed = contest.measurements[chosen.planned.name]
        placement = {"instances": speed.instances, "threads": speed.threads}
        entry = self.steps.run(
            "memory",
            {
                "the artifact": chosen.artifact.digest,
                "the variant": described(chosen.planned),
                "the samples": candidates.references.digest,
                "the tensors": sha256_of_value(candidates.tensors),
                "the placement": placement,
            },
            {
                "artifact": str(chosen.artifact.folder),
                "variant": described(chosen.planned),
                "golden": str(candidates.references.folder / "golden"),
                "tensors": candidates.tensors,
                **placement,
            },
        )
        return Memory.model_validate(entry.result)

    def _sealed(
        self,
        chosen: Candidate,
        contest: Contest,
        candidates: Candidates,
        memory: Memory | None,
    ) -> VerifiedVariant:
        complete = candidates.complete
        artifact = chosen.artifact
        assert artifact is not None
        inputs, outputs = complete.input_tensors or (), complete.output_tensors or ()
        golden = candidates.references.folder / "golden"
        if chosen.proof is None:
            return trusted(
                chosen.planned.name,
                runs_on=chosen.planned.runs_on,
                artifact=artifact.folder,
                files=artifact.files,
                details=artifact.details,
                golden=golden,
                inputs=inputs,
                outputs=outputs,
                reason=chosen.reason,
            )
        return verified(
            runs_on=chosen.planned.runs_on,
            artifact=artifact.folder,
            details=artifact.details,
            golden=golden,
            inputs=inputs,
            outputs=outputs,
            proof=chosen.proof,
            measurement=contest.measurements[chosen.planned.name],
            memory=memory,
        )
