"""What a model repository holds for Triton to serve, and which server options that takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import RepositoryError

_FINALIZE = re.compile(r"^\s+(async )?def finalize\b", re.MULTILINE)


@dataclass(frozen=True)
class ServableModel:
    """One folder with a config.pbtxt."""

    name: str
    backend: str
    is_ensemble: bool
    is_complete: bool
    """Backend, inputs and outputs are declared: Triton has nothing to complete."""
    wants_response_cache: bool
    finalizes: bool
    """User code wants to be called when the model is unloaded."""


def servable_models(repository: Path, names: Sequence[str] | None = None) -> list[ServableModel]:
    """The models of the repository, or those named; sorted by name.

    Raises:
        RepositoryError: no such folder, a path that workers cannot open, nothing to serve in it,
            or a name that is not in it.
    """
    if not repository.is_dir():
        what = "is no folder" if repository.exists() else "does not exist"
        raise RepositoryError(
            f"{repository} {what}", "Give the folder that holds one folder for each model."
        )
    if not str(repository).isascii():
        # Triton starts its workers in the locale C, whatever the server's is.
        raise RepositoryError(
            f"{repository} has other letters than ASCII's in its path, which Triton's Python "
            "workers cannot open",
            "Move the repository, or serve it through a link: ln -s.",
        )
    found = sorted(config.parent for config in repository.glob("*/config.pbtxt"))
    if not found:
        raise RepositoryError(
            f"{repository} has nothing to serve: no folder in it holds a config.pbtxt",
            f"Build its models first: nosbuild build {repository}",
        )
    known = [folder.name for folder in found]
    if missing := sorted(set(names or ()) - set(known)):
        raise RepositoryError(
            f"{repository} has no built model {', '.join(missing)}; it has {', '.join(known)}",
            f"Build it first: nosbuild build {repository / missing[0]}",
        )
    return [_read(folder) for folder in found if names is None or folder.name in names]


def _read(folder: Path) -> ServableModel:
    from nosbuild.repository.config import read_config

    try:
        config = read_config(folder / "config.pbtxt")
    except RepositoryError:
        # Triton names what is wrong with it when it is told to load it.
        return ServableModel(folder.name, "", False, False, False, False)
    backend = config.backend or config.platform
    is_ensemble = config.platform == "ensemble" or config.HasField("ensemble_scheduling")
    return ServableModel(
        folder.name,
        backend,
        is_ensemble,
        is_complete=bool(config.input and config.output and (backend or is_ensemble)),
        wants_response_cache=config.response_cache.enable,
        finalizes=backend == "python" and _finalizes(folder),
    )


def _finalizes(folder: Path) -> bool:
    return any(_FINALIZE.search(file.read_text(errors="replace")) for file in folder.glob("*/*.py"))
