"""A pipeline and its built models go in; an ensemble, proven as a whole, comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused
from nosbuild.export.pipeline_graph import Graph
from nosbuild.plan import BuildPlan
from nosbuild.plan.variants import ENSEMBLE
from nosbuild.report.build_report import BuildReport, VariantReport, Verdict
from nosbuild.report.headline import quality_kept
from nosbuild.spec.padding import padded_outputs
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.functions import tensors_from
from nosbuild.steps.members import Member, members_of, members_within, padding_of
from nosbuild.steps.originals import source_digests
from nosbuild.steps.publishing import publish_variant
from nosbuild.steps.reporting import host_section
from nosbuild.steps.result import BuildResult
from nosbuild.store.hashing import sha256_of_value
from nosbuild.tensors import BATCH
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Proof
from nosbuild.verify.variant import verified

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.store.store import Entry


class PipelineWalk:
    """One build of a pipeline through its steps."""

    def __init__(self, steps: CachedSteps, written: ModelSpec, plan: BuildPlan) -> None:
        self.steps = steps
        self.written = written
        """The spec without what the command line says otherwise."""
        self.plan = plan
        self.spec = steps.spec

    def run(self, repository: Path) -> BuildResult:
        """Compile -> references -> prove -> publish.

        Raises:
            SpecError: a model is missing or not built, or an edge does not fit.
            Refused: it does not answer as its models' originals do.
        """
        steps, spec = self.steps, self.spec
        repository = repository.absolute()
        direct = members_of(spec, repository)
        members = {**members_within(direct.values()), **direct}
        compiled = steps.run(
            "pipeline-compile",
            {"the models": {name: _called(member) for name, member in members.items()}},
            {"repository": str(repository)},
            label="compile",
        )
        tensors, graph = compiled.result, Graph.read(compiled.folder)
        complete = spec.with_tensors(*tensors_from(tensors), tensors["default_dims"])
        running = {name: members[name] for name in graph.models}
        originals = source_digests(running, spec.folder.parent)
        references = self._references(repository, running, compiled, originals)
        proof = self._prove(repository, compiled, references)
        variant = verified(
            runs_on=ENSEMBLE.runs_on,
            artifact=compiled.folder,
            details=_details(graph, members, complete),
            golden=references.folder / "golden",
            inputs=complete.input_tensors or (),
            outputs=complete.output_tensors or (),
            proof=proof,
            measurement=Measurement(
                latencies=(),
                throughputs=(),
                instances=1,
                threads=1,
                why="an ensemble is as fast as its models, which are measured by themselves",
            ),
        )
        return publish_variant(
            steps,
            self.written,
            self.plan,
            variant,
            self._report(
                complete,
                list(running.values()),
                _notes(graph, complete, [name for name in running if name not in originals]),
                references,
                proof,
            ),
            complete,
            repository,
            sum(compiled.folder.joinpath(name).stat().st_size for name in proof.artifact),
        )

    def _references(
        self,
        repository: Path,
        members: dict[str, Member],
        compiled: Entry,
        originals: dict[str, dict[str, str]],
    ) -> Entry:
        models = {
            name: member.interface if name in originals else member.digest
            for name, member in members.items()
        }
        return self.steps.run(
            "pipeline-references",
            {
                "the originals": originals,
                "the models": models,
                "the tensors": sha256_of_value(compiled.result),
            },
            {
                "repository": str(repository),
                "artifact": str(compiled.folder),
                "tensors": compiled.result,
            },
            label="references",
        )

    def _prove(self, repository: Path, compiled: Entry, references: Entry) -> Proof:
        found = self.steps.run(
            "pipeline-prove",
            {
                "the artifact": sha256_of_value(compiled.files),
                "the source's answers": references.digest,
                "the tensors": sha256_of_value(compiled.result),
            },
            {
                "repository": str(repository),
                "artifact": str(compiled.folder),
                "references": str(references.folder),
                "tensors": compiled.result,
                "variant": ENSEMBLE.name,
            },
            label=f"prove {ENSEMBLE.name}",
        )
        proof = Proof.model_validate(found.result)
        verdict: Verdict = "proven" if proof.passed else "refused"
        self.steps.progress.judged(self.spec.name, ENSEMBLE.name, verdict, proof.refusal())
        if not proof.passed:
            raise Refused(
                f"{self.spec.name} is not proven, and not published:\n{proof.refusal()}",
                "Errors of its models add up: set bars in quality: that they keep together, or "
                "build its models in a higher precision.",
            )
        return proof

    def _report(
        self,
        complete: ModelSpec,
        members: list[Member],
        notes: list[str],
        references: Entry,
        proof: Proof,
    ) -> BuildReport:
        shown = [f"{one.name} v{one.version} ({one.variant})" for one in members]
        row = VariantReport(
            name=ENSEMBLE.name,
            precision="",  # its models have theirs
            backend=ENSEMBLE.runs_on.backend,
            how=f"calls {', '.join(shown)}",
            proof=proof,
            verdict="published",
            reason="; ".join(["the one way to serve a pipeline", *notes]),
        )
        return BuildReport(
            model=complete.name,
            description=complete.description,
            published=row.name,
            headline=f"{_listed(members)} in one request{quality_kept(proof.findings)}",
            objective=complete.objective.kind,
            target=str(self.plan.target),
            typical_batch=complete.dim_range(BATCH).typical if complete.is_batched else 1,
            samples=references.result["samples"],
            real_samples=references.result["real"],
            variants=(row,),
            **host_section(self.steps.host),
        )


def _details(graph: Graph, members: Mapping[str, Member], complete: ModelSpec) -> dict[str, Any]:
    """For the lock."""
    called = {
        name: {"version": members[name].version, **asdict(called)}
        for name, called in graph.called.items()
    }
    pad = padded_outputs(padding_of(graph, members), complete.output_tensors or ())
    return {"members": called, "pad": pad} if pad else {"members": called}


def _notes(graph: Graph, complete: ModelSpec, without_original: list[str]) -> list[str]:
    """What a user of the pipeline should know."""
    notes = []
    if without_original:
        notes.append(
            f"no model.yaml is there for {', '.join(without_original)}: what is published of it "
            "counts as its original"
        )
    taken = {tensor for stage in graph.stages for tensor in stage.inputs.values()}
    passed_on = [t.name for t in complete.output_tensors or () if t.name in taken]
    if passed_on and len(complete.output_tensors or ()) > 1:
        notes.append(
            f"ask for all of its outputs: {', '.join(passed_on)} goes on to another model, and "
            "Triton fails on requests for only some (triton-inference-server/server#7482)"
        )
    return notes


def _listed(members: list[Member]) -> str:
    names = [f"{member.name} ({member.variant})" for member in members]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _called(member: Member) -> list[Any]:
    """What of a model decides how a pipeline that calls it is compiled."""
    tensors = [f"{t.name}: {t.declaration} {t.range}" for t in (*member.inputs, *member.outputs)]
    return [
        member.version,
        member.variant,
        member.digest,
        member.interface,
        tensors,
        {**member.dims},
    ]
