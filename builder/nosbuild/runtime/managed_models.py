"""Built models go in; what the model manager is told of each comes out.

The same names and meanings as in ``inside_triton/model_manager/nos_model_manager/catalogue.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from nosbuild.errors import RepositoryError
from nosbuild.plan.gpus import NoGpu, gpus
from nosbuild.repository.calls import called_by
from nosbuild.repository.config import read_config
from nosbuild.repository.instance_memory import (
    configured_instances,
    estimated_bytes,
    instance_bytes,
    measured_bytes,
)
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.served import versions_in_config

_INSTANCES = {"python": 1}
_OTHER_INSTANCES = 2
"""Triton's number where config.pbtxt has none."""
_LEAST_IDLE_SECONDS = 1.0
"""Triton's, where ``sequence_batching`` has none."""


def managed_models(repository: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Model -> ``calls`` (names), ``bytes`` and ``gpu_bytes`` (estimates), ``idle_seconds``, and
    ``config``: what its config.pbtxt says now.
    """
    return {name: _entry(ModelFolder(repository / name)) for name in names}


def _entry(folder: ModelFolder) -> dict[str, Any]:
    try:
        config = read_config(folder.config)
    except RepositoryError:
        # Triton says what is wrong with it when it loads it.
        return {"calls": [], "bytes": 0, "idle_seconds": 0.0, "config": None}
    return managed_model(folder, config)


def managed_model(folder: ModelFolder, config: Any) -> dict[str, Any]:
    """The same of one model, whose config.pbtxt may say something else.

    Args:
        folder: of the model.
        config: the ModelConfig with which it is to be loaded.
    """
    return {
        "calls": list(called_by(folder, config)),
        "bytes": _bytes(folder, config),
        "gpu_bytes": _gpu_bytes(folder, config),
        "idle_seconds": _idle_seconds(config),
        "config": json_format.MessageToDict(config, preserving_proto_field_name=True),
    }


def _bytes(folder: ModelFolder, config: Any) -> int:
    if config.platform == "ensemble" or config.HasField("ensemble_scheduling"):
        return 0  # no process of its own
    backend = config.backend
    instances = configured_instances(config) or _INSTANCES.get(backend, _OTHER_INSTANCES)
    served = versions_in_config(config, folder.versions())
    return sum(instances * instance_bytes(folder.version(version), backend) for version in served)


def _gpu_bytes(folder: ModelFolder, config: Any) -> dict[str, int]:
    """By the number of the GPU, of all its instances there."""
    found: dict[str, int] = {}
    served = [folder.version(one) for one in versions_in_config(config, folder.versions())]
    size = sum(
        measured_bytes(version, on_gpu=True) or estimated_bytes(version, config.backend)
        for version in served
    )
    for group in config.instance_group:
        if group.kind == group.KIND_GPU:
            for gpu in group.gpus or range(_gpus_here()):
                found[str(gpu)] = found.get(str(gpu), 0) + (group.count or 1) * size
    return {gpu: size for gpu, size in found.items() if size}


def _gpus_here() -> int:
    found = gpus()
    return 0 if isinstance(found, NoGpu) else len(found)


def _idle_seconds(config: Any) -> float:
    if not config.HasField("sequence_batching"):
        return 0.0
    idle: int = config.sequence_batching.max_sequence_idle_microseconds
    return max(idle / 1e6, _LEAST_IDLE_SECONDS)
