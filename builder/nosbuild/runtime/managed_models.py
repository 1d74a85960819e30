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
from nosbuild.repository.layout import GOLDEN, LOCK, ModelFolder
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.repository.served import versions_in_config

_MIB = 2**20
_PROCESS_BYTES = {"python": 32 * _MIB}
_OTHER_PROCESS_BYTES = 64 * _MIB
"""A worker with ONNX Runtime or TensorRT in it, and a model of no size."""
_COPIES = {"python": 1}
_OTHER_COPIES = 2
"""A session's own copy of the weights beside those of the file."""
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
    return {
        "calls": list(called_by(folder)),
        "bytes": _bytes(folder, config),
        "gpu_bytes": _gpu_bytes(folder, config),
        "idle_seconds": _idle_seconds(config),
        "config": json_format.MessageToDict(config, preserving_proto_field_name=True),
    }


def _bytes(folder: ModelFolder, config: Any) -> int:
    if config.platform == "ensemble" or config.HasField("ensemble_scheduling"):
        return 0  # no process of its own
    backend = config.backend
    groups = sum((group.count or 1) * (len(group.gpus) or 1) for group in config.instance_group)
    instances = groups or _INSTANCES.get(backend, _OTHER_INSTANCES)
    served = versions_in_config(config, folder.versions())
    return sum(instances * _instance_bytes(folder.version(version), backend) for version in served)


def _gpu_bytes(folder: ModelFolder, config: Any) -> dict[str, int]:
    """By the number of the GPU: of each instance what the build measured, or its weights twice."""
    found: dict[str, int] = {}
    served = versions_in_config(config, folder.versions())
    size = sum(_device_bytes(folder.version(version)) for version in served)
    for group in config.instance_group:
        if group.kind != group.KIND_GPU:
            continue
        for gpu in group.gpus or range(_gpus_here()):
            found[str(gpu)] = found.get(str(gpu), 0) + (group.count or 1) * size
    return {gpu: size for gpu, size in found.items() if size}


def _gpus_here() -> int:
    found = gpus()
    return 0 if isinstance(found, NoGpu) else len(found)


def _device_bytes(version: Path) -> int:
    lock = _lock(version)
    if lock is not None and lock.memory is not None and lock.memory.get("device"):
        return lock.memory["device"]
    return _OTHER_COPIES * _served_bytes(version)


def _instance_bytes(version: Path, backend: str) -> int:
    """At most, as the build measured it; from the files where it did not."""
    lock = _lock(version)
    if lock is not None and lock.memory is not None:
        return lock.memory["peak"]
    process = _PROCESS_BYTES.get(backend, _OTHER_PROCESS_BYTES)
    return process + _COPIES.get(backend, _OTHER_COPIES) * _served_bytes(version)


def _lock(version: Path) -> Lock | None:
    try:
        return read_lock(version / LOCK)
    except RepositoryError:
        return None


def _served_bytes(version: Path) -> int:
    """Files that a worker may read: not the golden samples."""
    if not version.is_dir():
        return 0
    files = (file for file in version.rglob("*") if file.is_file())
    return sum(
        file.stat().st_size for file in files if GOLDEN not in file.relative_to(version).parts
    )


def _idle_seconds(config: Any) -> float:
    if not config.HasField("sequence_batching"):
        return 0.0
    idle: int = config.sequence_batching.max_sequence_idle_microseconds
    return max(idle / 1e6, _LEAST_IDLE_SECONDS)
