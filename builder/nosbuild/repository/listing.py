"""A repository goes in; a line about each of its models comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.errors import SpecError
from nosbuild.repository.config import read_config
from nosbuild.repository.instance_memory import configured_instances
from nosbuild.repository.layout import LOCK, ModelFolder, known_models
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.repository.refused import refusal_of
from nosbuild.repository.served import built_versions, versions_in_config


@dataclass(frozen=True)
class ModelRow:
    """One model of a repository."""

    name: str
    version: int
    """The newest version served; 0 where it is not built yet."""
    variant: str
    size_bytes: int
    max_batch_size: int
    memory_bytes: int
    """Of all its instances at most, as the build measured it; 0 where it did not."""
    description: str
    refused: int = 0
    """A newer version, the newest built, that a running server refused; 0 where there is none."""


def list_models(repository: Path) -> list[ModelRow]:
    """Every model, built or not.

    Raises:
        RepositoryError: no such folder, no model in it, or a config.pbtxt that cannot be read.
    """
    folders = known_models(repository)
    return [_built(folder) if folder.is_built else _unbuilt(folder) for folder in folders]


def _built(folder: ModelFolder) -> ModelRow:
    config = read_config(folder.config)
    served = versions_in_config(config, folder.versions())
    version = max(served, default=0)
    path = folder.version(version) / LOCK
    newest = max(built_versions(folder), default=0)
    lock = read_lock(path) if path.is_file() else None
    names = lock.artifact if lock else [file.name for file in path.parent.glob("model.*")]
    files = [path.parent / name for name in names if (path.parent / name).is_file()]
    return ModelRow(
        name=folder.name,
        version=version,
        variant=lock.variant if lock else config.backend or config.platform,
        size_bytes=sum(path.stat().st_size for path in files),
        max_batch_size=config.max_batch_size,
        memory_bytes=_memory(lock, config),
        description=config.parameters["description"].string_value,
        refused=newest if newest > version and refusal_of(folder, newest) else 0,
    )


def _memory(lock: Lock | None, config: Any) -> int:
    if lock is None or lock.memory is None:
        return 0
    return (configured_instances(config) or 1) * lock.memory["peak"]


def _unbuilt(folder: ModelFolder) -> ModelRow:
    from nosbuild.spec import load_spec

    try:
        description = load_spec(folder.path).description
    except SpecError as exc:
        description = f"broken model.yaml: {exc.problems[0].found}"
    return ModelRow(folder.name, 0, "", 0, 0, 0, description)
