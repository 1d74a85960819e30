"""Built models go in; what the model manager is told of each comes out.

The same names and meanings as in ``inside_triton/model_manager/nos_model_manager/catalogue.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nosbuild.errors import RepositoryError
from nosbuild.repository.calls import called_by
from nosbuild.repository.config import read_config
from nosbuild.repository.instance_memory import configured_instances, instance_bytes
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.served import versions_in_config

_INSTANCES = {"python": 1}
_OTHER_INSTANCES = 2
"""Triton's number where config.pbtxt has none."""
_LEAST_IDLE_SECONDS = 1.0
"""Triton's, where ``sequence_batching`` has none."""


def managed_models(repository: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Model -> ``calls`` (names), ``bytes`` (an estimate) and ``idle_seconds``."""
    return {name: _entry(ModelFolder(repository / name)) for name in names}


def _entry(folder: ModelFolder) -> dict[str, Any]:
    try:
        config = read_config(folder.config)
    except RepositoryError:
        return {"calls": [], "bytes": 0, "idle_seconds": 0.0}  # Triton says so when it loads it
    return {
        "calls": list(called_by(folder)),
        "bytes": _bytes(folder, config),
        "idle_seconds": _idle_seconds(config),
    }


def _bytes(folder: ModelFolder, config: Any) -> int:
    if config.platform == "ensemble" or config.HasField("ensemble_scheduling"):
        return 0  # no process of its own
    backend = config.backend
    instances = configured_instances(config) or _INSTANCES.get(backend, _OTHER_INSTANCES)
    served = versions_in_config(config, folder.versions())
    return sum(instances * instance_bytes(folder.version(version), backend) for version in served)


def _idle_seconds(config: Any) -> float:
    if not config.HasField("sequence_batching"):
        return 0.0
    idle: int = config.sequence_batching.max_sequence_idle_microseconds
    return max(idle / 1e6, _LEAST_IDLE_SECONDS)
