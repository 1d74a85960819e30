"""What a model repository holds for Triton to serve, and which server options that takes.

Only what decides about options is read from config.pbtxt here; Triton itself judges the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import RepositoryError

_COMMENT = re.compile(r"#[^\n]*")
_BACKEND = re.compile(r'\b(?:backend|platform)\s*:\s*["\']([^"\']+)')
_FIELD = r"(?:^|[\s,;{{}}]){name}\s*:?\s*[\[{{]"
_RESPONSE_CACHE = re.compile(r"\bresponse_cache\s*:?\s*\{[^}]*\benable\s*:\s*(true|1)\b")
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
        RepositoryError: no such folder, nothing to serve in it, or a name that is not in it.
    """
    if not repository.is_dir():
        raise RepositoryError(
            f"{repository} is no folder", "Give the folder that holds one folder for each model."
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
    config = _COMMENT.sub("", (folder / "config.pbtxt").read_text(errors="replace"))
    backend = match[1] if (match := _BACKEND.search(config)) else ""
    is_ensemble = backend == "ensemble" or _has(config, "ensemble_scheduling")
    has_tensors = _has(config, "input") and _has(config, "output")
    return ServableModel(
        folder.name,
        backend,
        is_ensemble,
        is_complete=has_tensors and (bool(backend) or is_ensemble),
        wants_response_cache=bool(_RESPONSE_CACHE.search(config)),
        finalizes=backend == "python" and _finalizes(folder),
    )


def _has(config: str, field: str) -> bool:
    return bool(re.search(_FIELD.format(name=field), config))


def _finalizes(folder: Path) -> bool:
    return any(_FINALIZE.search(file.read_text(errors="replace")) for file in folder.glob("*/*.py"))
