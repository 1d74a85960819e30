"""What a step is made from goes in; the parts whose digest is the key of its cache entry come out.

Files that the user's code reads by itself are not in the key: the store checks them at each use.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.plan import HostFacts
from nosbuild.plan.host import version_of
from nosbuild.source.references import resolve_path
from nosbuild.spec.references import names_python_file
from nosbuild.store.hashing import sha256_of_file, sha256_of_value

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class StepKind:
    """What decides the result of a step, beside the files it is made from."""

    sections: tuple[str, ...]
    """Parts of the spec."""
    rooms: tuple[str, ...]
    """Our code that it runs: folders and files of the package."""
    runs_user_code: bool = False
    """Its result belongs to one model's folder."""
    machine_matters: bool = False
    """It measures, or runs what another processor or GPU may compute otherwise."""
    functions: str = "nosbuild.steps.functions"
    """Module of the function that bears the step's name."""


_SOURCE = ("name", "source", "inputs", "outputs", "dims", "state")
_PYTHON = (
    *_SOURCE,
    *("batching", "requirements", "python", "system_site", "methods", "models", "pad"),
)
_INSIDE = tuple(
    f"inside_triton/{part}"
    for part in ("backends", "model_environments", "python_model", "server_python", "shared")
)
"""All that a model runs on there; the model manager is beside it."""
_BACKENDS = (*_INSIDE, "plan/runs_on.py", "export/saving.py")
_OPTIMISE = ("optimize", "export/portable.py", "export/saving.py")
_RESCUING = ("steps/rescuing.py", "steps/conversions.py")
_ANSWERS = ("verify/references.py", "verify/golden.py")
_COMPOSING = (
    *("export/pipeline.py", "export/pipeline_graph.py", "export/pipeline_axes.py"),
    *("export/pipeline_tensors.py", "repository/member.py", "repository/calls.py"),
    *("steps/members.py", "steps/member_calls.py"),
)
_OPTIMISATION = StepKind((), _OPTIMISE)
_CALIBRATED = StepKind((), (*_OPTIMISE, *_ANSWERS))


def _python_kind(sections: tuple[str, ...], *rooms: str) -> StepKind:
    """A step of a Python class."""
    return StepKind(
        sections,
        ("spec", "source", "environments", "inside_triton/python_model", *rooms),
        runs_user_code=True,
        functions="nosbuild.steps.python_functions",
    )


def _pipeline_kind(sections: tuple[str, ...], *rooms: str) -> StepKind:
    """A step of a pipeline, which runs its models."""
    return StepKind(
        sections,
        ("spec", "source", "environments", "verify", *_INSIDE, *_COMPOSING, *rooms),
        runs_user_code=True,
        machine_matters=True,
        functions="nosbuild.steps.pipeline_functions",
    )


STEPS: dict[str, StepKind] = {
    "export": StepKind(_SOURCE, ("spec", "source", "export"), runs_user_code=True),
    "references": StepKind(
        (*_SOURCE, "samples"), ("spec", "source", "verify"), runs_user_code=True
    ),
    "slim": _OPTIMISATION,
    "fuse": _OPTIMISATION,
    "fp16": _OPTIMISATION,
    "bf16": _OPTIMISATION,
    "smooth": _CALIBRATED,
    "int8-dynamic": _CALIBRATED,
    "int8-static": _CALIBRATED,
    "int8-tensorrt": _CALIBRATED,
    "tensorrt": StepKind(("dims",), (*_OPTIMISE, *_BACKENDS), machine_matters=True),
    "prove": StepKind(
        ("dims", "quality"),
        ("spec", "verify", "optimize", "source/references.py", *_BACKENDS),
        runs_user_code=True,
        machine_matters=True,
    ),
    "rescue": StepKind(
        ("dims", "quality"),
        ("spec", "verify", "optimize", "source", *_RESCUING, *_BACKENDS),
        runs_user_code=True,
        machine_matters=True,
    ),
    "measure": StepKind(
        ("objective", "instances", "dims", "source"),
        ("spec", "verify", "source", *_BACKENDS),
        runs_user_code=True,
        machine_matters=True,
    ),
    "memory": StepKind(
        ("dims",),
        ("spec", "verify", "steps/functions.py", *_BACKENDS),
        machine_matters=True,
        functions="nosbuild.steps.memory_function",
    ),
    "package": _python_kind(_PYTHON, "export"),
    "python-references": _python_kind((*_PYTHON, "samples"), "verify"),
    "python-prove": _python_kind((*_PYTHON, "quality"), "verify", "steps/member_calls.py"),
    "pipeline-compile": StepKind(
        _SOURCE, ("spec", *_COMPOSING), functions="nosbuild.steps.pipeline_functions"
    ),
    "pipeline-references": _pipeline_kind((*_SOURCE, "samples"), "steps/originals.py"),
    "pipeline-prove": _pipeline_kind((*_SOURCE, "quality")),
}
"""Every step that is cached."""

_ALWAYS = ("tensors.py", "steps/child.py", "store/hashing.py")
"""Code that every step runs."""


def key_parts(
    step: str, spec: ModelSpec, host: HostFacts, made_from: dict[str, Any]
) -> dict[str, Any]:
    """Everything that decides what a step makes, as JSON-able data.

    Args:
        step: its name.
        spec: only the sections that matter to the step count.
        host: library versions; the processor where the step measures speed.
        made_from: named inputs: the keys of the steps whose results it takes, and others.
    """
    kind = STEPS[step]
    parts: dict[str, Any] = {
        "step": step,
        "code": _code_digest((*_ALWAYS, _file_of(kind.functions), *kind.rooms)),
        "spec": spec.section(*kind.sections),
        "folder": str(spec.folder) if kind.runs_user_code else "",
        "versions": {
            **host.libraries,
            **{name: version_of(name) for name in map(distribution_name, spec.build_requirements)},
            "Python": host.python.rpartition(".")[0],
        },
        "made_from": made_from,
    }
    if kind.machine_matters:
        parts["host"] = {
            "processors": host.cpus,
            "processor": host.cpu_model,
            "GPUs": [asdict(gpu) for gpu in host.gpus],
        }
    return parts


def named_source_files(spec: ModelSpec) -> dict[str, str]:
    """Digests of the files that the spec itself names as its source.

    Their readers are native code (ONNX Runtime, safetensors), which no audit event tells.

    Raises:
        SourceError: they are not there.
    """
    if spec.source.kind not in ("onnx", "huggingface"):
        return {}
    reference = spec.source.reference
    if spec.source.kind == "onnx" and names_python_file(reference):
        return {}  # Python reads what it is made of
    if spec.source.kind == "huggingface" and ":" not in reference:
        path = spec.folder / reference
        if not path.is_dir():
            return {}  # a hub id: its revision is in the key, its files are read through the cache
    path = resolve_path(reference, spec.folder)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts]
    else:  # with the external data that may lie beside it
        files = [path, *path.parent.glob(f"{path.name}[._]data*")]
    return {str(file): sha256_of_file(file) for file in sorted(files)}


def distribution_name(requirement: str) -> str:
    """``name`` of ``name==1.0``."""
    name = ""
    for char in requirement:
        if not (char.isalnum() or char in "-_."):
            break
        name += char
    return name


def _file_of(module: str) -> str:
    """``steps/functions.py``."""
    return f"{module.partition('.')[2].replace('.', '/')}.py"


@cache
def _code_digest(places: tuple[str, ...]) -> str:
    """Digest of the code that the step runs: a new nosbuild may make something else."""
    package = Path(__file__).resolve().parents[1]
    files: list[Path] = []
    for name in places:
        place = package / name
        files += [place] if place.is_file() else sorted(place.rglob("*.py"))
    digests = {str(file.relative_to(package)): sha256_of_file(file) for file in files}
    return sha256_of_value(digests)
