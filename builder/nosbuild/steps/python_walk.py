"""A user's Python class goes in; a proven Triton model of each of its methods comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.environments.locked import LockedEnvironment
from nosbuild.errors import HostError, Refused
from nosbuild.export.pipeline_graph import Called
from nosbuild.plan import BuildPlan, RunsOn
from nosbuild.plan.variants import PYTHON
from nosbuild.report.build_report import VariantReport, Verdict
from nosbuild.report.headline import quality_beside
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.python_check import further_methods
from nosbuild.spec.padding import padded_outputs
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.class_environments import ClassEnvironments, has_own_environment
from nosbuild.steps.members import Member, members_of
from nosbuild.steps.publishing import publish_variant
from nosbuild.steps.python_functions import method_spec, other_inputs
from nosbuild.steps.reporting import report_of
from nosbuild.steps.result import BuildResult
from nosbuild.store.hashing import sha256_of_file, sha256_of_value
from nosbuild.verify.measure import Measurement
from nosbuild.verify.memory import Memory
from nosbuild.verify.proof import Proof
from nosbuild.verify.variant import VerifiedVariant, verified

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.store.store import Entry
    from nosbuild.tensors import TensorSpec


@dataclass(frozen=True)
class _Proven:
    """One method, ready to be published."""

    complete: ModelSpec
    variant: VerifiedVariant
    row: VariantReport
    references: Entry


class PythonWalk:
    """One build of a class through its steps."""

    def __init__(
        self, steps: CachedSteps, written: ModelSpec, plan: BuildPlan, *, pack: bool
    ) -> None:
        self.steps = steps
        self.written = written
        """The spec without what the command line says otherwise."""
        self.plan = plan
        self.pack = pack
        """Write the environment into the repository, too."""
        self.spec = steps.spec

    def run(self, repository: Path) -> BuildResult:
        """Environment -> package -> for each method: references, prove -> publish them all.

        Returns:
            of the first method; ``others`` has those of the others.

        Raises:
            SourceError, SampleError: the class, or its samples, cannot be served as they are.
            SpecError: the model.yaml does not fit the class, or a model that it calls is missing.
            InputError, HostError: its environment cannot be made.
            Refused: a method is not proven; then nothing is published.
        """
        repository = repository.absolute()
        self._check_names(repository)
        environments = ClassEnvironments(self.steps, self.plan, repository)
        environment = environments.make()
        locked = environment.locked
        packaged = self._package(repository, locked)
        methods: dict[str, Any] = packaged.result["methods"]
        runs_on = self._runs_on(needed=packaged.result["device"])
        found = [
            self._proven(repository, packaged, methods, name, runs_on, locked) for name in methods
        ]
        if has_own_environment(self.spec):
            for one in found:  # before a running server can find a config that names it
                model = repository / one.complete.name
                environments.place(environment, model, packed=self.pack)
        first, *others = [self._published(one, repository) for one in found]
        return first.with_others(others).noting(
            f"{name} is no method of the class any more, and still in the repository: remove "
            f"{repository / name}, or Triton goes on serving it"
            for name in further_methods(repository, self.spec.name)
            if name not in {one.complete.name for one in found}
        )

    def _check_names(self, repository: Path) -> None:
        for position, method in enumerate(self.spec.methods[1:], 1):
            name = f"{self.spec.name}.{method}"
            if ModelFolder(repository / name).has_spec:
                raise self.spec.error(
                    ("methods", position),
                    f"would be served as {name}, which is a model of its own in {repository}",
                    f"rename that model, or the method {method}",
                )

    def _package(self, repository: Path, locked: LockedEnvironment) -> Entry:
        folder = self.spec.folder
        files = {
            str(path.relative_to(folder)): sha256_of_file(path)
            for path in ModelFolder(folder).own_files()
        }
        members = members_of(self.spec, repository)
        return self.steps.run(
            "package",
            {
                "the model's files": files,
                "the environment": locked.as_json(),
                "the models that it calls": {n: m.interface for n, m in members.items()},
            },
            {
                "files": list(files),
                "environment": locked.as_json(),
                "models": str(repository),
            },
        )

    def _runs_on(self, *, needed: bool) -> RunsOn:
        """On a GPU where the spec says so, or where the class asks for a device and the target is
        one.
        """
        kind = self.spec.instances.kind
        if kind != "gpu" and not (kind == "auto" and needed and self.plan.target.kind == "gpu"):
            return PYTHON.runs_on
        if not self.steps.host.gpus:
            raise HostError(
                f"{self.spec.name} is to run on a GPU, and cannot be proven here: "
                f"{self.steps.host.no_gpu}",
                "Build it where there is one; or for a CPU: instances: {kind: cpu}.",
            )
        return RunsOn("python", "cuda")

    def _proven(
        self,
        repository: Path,
        packaged: Entry,
        methods: dict[str, Any],
        method: str,
        runs_on: RunsOn,
        locked: LockedEnvironment,
    ) -> _Proven:
        tensors = methods[method]
        complete = method_spec(self.spec, method, tensors)
        artifact = packaged.folder / tensors["folder"]
        members = members_of(self.spec, repository)
        made_from = {
            "the class": sha256_of_value([packaged.digest, method, tensors]),
            "the models that it calls": {n: m.digest for n, m in members.items()},
            "the device": runs_on.accelerator,
        }
        arguments = {
            "artifact": str(artifact),
            "method": method,
            "tensors": tensors,
            "models": str(repository),
            "device": "cuda:0" if runs_on.needs_gpu else "cpu",
        }
        references = self.steps.run(
            "python-references",
            {**made_from, "other inputs": other_inputs(methods, method)},
            {**arguments, "elsewhere": other_inputs(methods, method)},
            label="references",
            model=complete.name,
        )
        proven = self.steps.run(
            "python-prove",
            {**made_from, "the source's answers": references.digest},
            {**arguments, "references": str(references.folder), "variant": PYTHON.name},
            label=f"prove {PYTHON.name}",
            model=complete.name,
        )
        proof = Proof.model_validate(proven.result["proof"])
        memory = Memory.model_validate(proven.result["memory"])
        self._judge(complete, proof)
        variant = verified(
            runs_on=runs_on,
            artifact=artifact,
            details=self._details(
                packaged, method, tensors, locked, members, complete.output_tensors or ()
            ),
            golden=references.folder / "golden",
            inputs=complete.input_tensors or (),
            outputs=complete.output_tensors or (),
            proof=proof,
            measurement=Measurement(
                latencies=(),
                throughputs=(),
                instances=self.spec.instances.count if self.spec.instances.count != "auto" else 1,
                threads=1,
                why="a class is served as it is: there is nothing to choose by speed",
            ),
            memory=memory,
        )
        return _Proven(complete, variant, self._row(artifact, variant, method), references)

    def _judge(self, complete: ModelSpec, proof: Proof) -> None:
        verdict: Verdict = "proven" if proof.passed else "refused"
        self.steps.progress.judged(complete.name, PYTHON.name, verdict, proof.refusal())
        if not proof.passed:
            raise Refused(
                f"{complete.name} is not proven, and not published:\n{proof.refusal()}",
                "Mend the class, or set bars in quality: that it can keep.",
            )

    def _details(
        self,
        packaged: Entry,
        method: str,
        tensors: dict[str, Any],
        locked: LockedEnvironment,
        members: dict[str, Member],
        outputs: Sequence[TensorSpec],
    ) -> dict[str, Any]:
        """For the lock: what serving needs to know."""
        details: dict[str, Any] = {"class": packaged.result["class"], "method": method}
        if method != self.spec.methods[0]:
            details["method_of"] = self.spec.name
        if members:
            details["calls"] = {
                name: asdict(Called(member.variant, member.digest, member.interface))
                for name, member in members.items()
            }
        if tensors["streams"]:
            details["streams"] = True
        if has_own_environment(self.spec):
            details["environment"] = locked.as_json()
        if pad := padded_outputs(self.spec.pad, outputs):
            details["pad"] = pad
        return details

    def _row(self, artifact: Path, variant: VerifiedVariant, method: str) -> VariantReport:
        packages = variant.details.get("environment", {}).get("packages", ())
        shown = ", ".join(f"{package['name']} {package['version']}" for package in packages)
        where = f"its own Python with {shown or 'nothing else'}" if packages else "the server's own"
        return VariantReport(
            name=PYTHON.name,
            precision="",
            backend=variant.runs_on.backend,
            accelerator=variant.runs_on.accelerator,
            how=f"{variant.details['class']}.{method} in {where}",
            bytes=sum((artifact / name).stat().st_size for name in variant.proof.artifact),
            proof=variant.proof,
            memory=variant.memory,
            verdict="published",
            reason="the one way to serve a class",
        )

    def _published(self, one: _Proven, repository: Path) -> BuildResult:
        method = one.variant.details["method"]
        said = (
            f"{one.variant.details['class']}.{method} answers the same served as called plainly"
            f"{quality_beside(one.variant.proof.findings)}"
        )
        report = report_of(
            one.complete, self.plan, self.steps.host, (one.row,), one.references.result, said
        )
        return publish_variant(
            self.steps,
            self.written,
            self.plan,
            one.variant,
            report,
            one.complete,
            repository,
            one.row.bytes or 0,
            [
                f"{name} differs in size from sample to sample, and several such items in one "
                f"request fail: name {name} under pad: in the model.yaml, or send them one by one"
                for name in one.references.result["unequal"]
            ],
        )
