"""What a step is made from goes in; the parts whose digest is the key of its cache entry come out.

Files that the user's code reads by itself are not in the key: the store checks them at each use.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.plan import HostFacts
from nosbuild.plan.host import version_of
from nosbuild.source.references import resolve_path
from nosbuild.store.hashing import sha256_of_file, sha256_of_value

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

SECTIONS: dict[str, tuple[str, ...]] = {
    "export": ("name", "source", "inputs", "outputs", "dims"),
    "prove": ("name", "source", "inputs", "outputs", "dims", "samples", "quality"),
    "measure": ("objective", "instances", "dims"),
}
"""Step -> the parts of a spec that change what it makes."""

_ROOMS: dict[str, tuple[str, ...]] = {
    "export": ("tensors.py", "spec", "source", "export"),
    "prove": ("tensors.py", "spec", "source", "verify"),
    "measure": ("tensors.py", "spec", "verify"),
}
_HOST_MATTERS = ("measure",)


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
    parts: dict[str, Any] = {
        "step": step,
        "code": _code_digest(step),
        "spec": spec.section(*SECTIONS[step]),
        "folder": str(spec.folder) if step != "measure" else "",
        "versions": {
            **host.libraries,
            **{name: version_of(name) for name in map(distribution_name, spec.build_requirements)},
            "Python": host.python.rpartition(".")[0],
        },
        "made_from": made_from,
    }
    if step in _HOST_MATTERS:
        parts["host"] = {"processors": host.cpus, "processor": host.cpu_model}
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


@cache
def _code_digest(step: str) -> str:
    """Digest of the code that the step runs: a new nosbuild may make something else."""
    package = Path(__file__).resolve().parents[1]
    files: list[Path] = []
    for room in _ROOMS[step]:
        place = package / room
        files += [place] if place.is_file() else sorted(place.rglob("*.py"))
    digests = {str(file.relative_to(package)): sha256_of_file(file) for file in files}
    return sha256_of_value(digests)
