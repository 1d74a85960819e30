"""A repository and names of models go in; those that must not be served, and why, come out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nosbuild.errors import RepositoryError
from nosbuild.repository.calls import with_called
from nosbuild.repository.check import Finding, check_model
from nosbuild.repository.layout import model_folders


def require_servable(repository: Path, model: str) -> None:
    """Judge one model, and those that it calls, before a running server loads it.

    Raises:
        RepositoryError: it is broken, or is not what was proven. A model that is not in the
            repository is for the server to refuse.
    """
    for name, reason in unservable_models(repository, with_called(repository, [model])).items():
        raise RepositoryError(
            f"model {name!r} must not be loaded: {reason}",
            f"nosbuild build {repository / name}, or see nosbuild check {repository}.",
        )


def unservable_models(repository: Path, models: Iterable[str]) -> dict[str, str]:
    """Model -> why it must not be served: it is broken, or is not what was proven."""
    errors = serving_errors(repository, models)
    return {
        name: as_reason(f for f in errors if f.model == name)
        for name in dict.fromkeys(finding.model for finding in errors)
    }


def serving_errors(repository: Path, models: Iterable[str]) -> list[Finding]:
    """What keeps models from being served."""
    folders = {folder.name: folder for folder in model_folders(repository)}
    return [
        finding
        for name in models
        if name in folders
        for finding in check_model(folders[name], set(folders), here=True)
        if finding.severity == "error"
    ]


def as_reason(errors: Iterable[Finding]) -> str:
    """One line; empty where there are none."""
    return "; ".join(f"{error.file}: {error.message}" for error in errors)
