"""A Python model and what it was proven with go in; what is not so any more comes out."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from nosbuild.errors import RepositoryError, SpecError
from nosbuild.export.pipeline_graph import Called
from nosbuild.repository.ensemble_check import Change, called_changes, missing_calls
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import Lock, read_lock, spec_digest


def python_changes(folder: ModelFolder, lock: Lock, models: set[str]) -> Iterator[Change]:
    """Compare the models that a class calls with those that it was proven with; of a further
    method, the model.yaml of its class with what was built.

    Args:
        folder: of the model.
        lock: of its newest version.
        models: names of those in the repository, built or not.
    """
    calls = {name: Called(**row) for name, row in lock.details.get("calls", {}).items()}
    yield from missing_calls(folder, "the class", calls, models)
    for name, called in calls.items():
        yield from called_changes(ModelFolder(folder.path.parent / name), called)
    if home := lock.details.get("method_of"):
        yield from _class_changes(ModelFolder(folder.path.parent / home), lock)


def further_methods(repository: Path, name: str) -> list[str]:
    """Models of the repository that builds of that class made of its further methods, sorted."""
    folders = sorted(repository.glob(f"{glob.escape(name)}.*"))
    return [folder.name for folder in folders if _made_from(folder) == name]


def _made_from(folder: Path) -> str:
    """The class that a further method is of; empty for what is none, or cannot be read: that is
    for a check to tell, not for a build of another model.
    """
    locks = sorted(folder.glob(f"*/{LOCK}"))
    try:
        return str(read_lock(locks[-1]).details.get("method_of", "")) if locks else ""
    except RepositoryError:
        return ""


def _class_changes(home: ModelFolder, lock: Lock) -> Iterator[Change]:
    from nosbuild.spec import load_spec

    if not home.has_spec:
        return
    try:
        spec = load_spec(home.path)
    except SpecError:
        return  # said of the class's own model
    method = lock.details["method"]
    if method not in spec.methods:
        yield Change(
            f"{spec.file} does not name the method {method!r} any more",
            False,
            f"Remove {home.path.parent / lock.model}, or add it to methods: and build again.",
        )
    elif spec_digest(spec) != lock.spec_digest:
        found = f"{spec.file} says something else than what was built"
        yield Change(found, False, f"nosbuild build {home.path}")
