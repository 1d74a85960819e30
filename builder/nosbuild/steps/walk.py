"""A model folder goes in; its best proven variant, in a Triton repository, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import HostError, RequestError
from nosbuild.plan import BuildPlan, host_facts, plan_build, target_of
from nosbuild.plan.host import version_of
from nosbuild.repository.config import check_settings
from nosbuild.spec import load_spec
from nosbuild.spec.precision import parse_precision
from nosbuild.steps.cached import CachedSteps
from nosbuild.steps.keys import distribution_name
from nosbuild.steps.onnx_walk import OnnxWalk
from nosbuild.steps.pipeline_walk import PipelineWalk
from nosbuild.steps.progress import Progress, Silent
from nosbuild.steps.python_walk import PythonWalk
from nosbuild.steps.result import BuildResult
from nosbuild.store.folders import steps_folder
from nosbuild.store.limit import cache_limit
from nosbuild.store.store import Store
from nosbuild.store.trim import trim

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

STEP_TIMEOUT = 3600.0
"""Seconds that one step may take before it is ended."""


def build(
    model: Path | str,
    repository: Path | str | None = None,
    *,
    precision: str | Sequence[str] | None = None,
    target: str | None = None,
    trust_unproven: str | None = None,
    fresh: bool = False,
    pack: bool = False,
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
        pack: write the environment of a Python class into the repository as one file, which a
            Triton in a container can use.
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
        if spec.source.kind == "pipeline":
            result = PipelineWalk(steps, written, plan).run(folder)
        elif spec.source.kind == "python":
            result = PythonWalk(steps, written, plan, pack=pack).run(folder)
        else:
            result = OnnxWalk(steps, written, plan, trust_unproven).run(folder)
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
