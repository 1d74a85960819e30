"""Names of built models go in; those that they call, which must be served beside them, come out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nosbuild.errors import RepositoryError
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.repository.served import versions_in_config


def calls_of(config: Any, lock: Lock | None) -> tuple[str, ...]:
    """The models that one version calls: an ensemble's steps, or what a class names as ``models``.

    Args:
        config: its ModelConfig.
        lock: of the version; None for one made by hand.
    """
    steps = [step.model_name for step in config.ensemble_scheduling.step]
    named = (lock.spec or {}).get("models") if lock else None
    return tuple(dict.fromkeys(steps or named or ()))


def newest_served(folder: ModelFolder, config: Any) -> int:
    """The version that answers whoever asks for none: the newest that is served; 0 for none."""
    return max(versions_in_config(config, folder.versions()), default=0)


def with_called(repository: Path, names: Iterable[str]) -> list[str]:
    """The names, and those of all models that they call, each once.

    Triton loads an ensemble's models by itself, but not what a class calls; and what is loaded
    in whatever way must be checked.
    """
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += called_by(ModelFolder(repository / name))
    return list(found)


def called_by(folder: ModelFolder, config: Any = None) -> tuple[str, ...]:
    """The models that its newest served version calls; none where it cannot be read.

    Args:
        folder: of the model.
        config: its ModelConfig, in place of what its config.pbtxt says.
    """
    try:
        config = config or read_config(folder.config)
        lock = folder.version(newest_served(folder, config)) / LOCK
        return calls_of(config, read_lock(lock) if lock.is_file() else None)
    except RepositoryError:
        return ()  # not there, or broken: whoever checks or loads it says so
