"""Models and a container's options go in; a ``/dev/shm`` that is too small for them is refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nosbuild.errors import HostError, RepositoryError
from nosbuild.runtime.docker.options import ContainerOptions
from nosbuild.runtime.memory_budget import gibibytes

_PYTHON_BASED = ("python", "onnxruntime", "tensorrt")
_WORKER_BYTES = 1024 * 1024
"""Triton's first megabyte for each worker of its Python backend
(``--backend-config=python,shm-default-byte-size``), which grows with the tensors."""
_SPARE = 4
"""Room to grow for tensors, in times of the first megabytes."""
_LEAST_BYTES = 16 * 1024 * 1024


def check_shared_memory(repository: Path, models: Sequence[str], options: ContainerOptions) -> None:
    """Refuse a ``/dev/shm`` in which the models' workers would end with a bus error.

    Raises:
        HostError: with the size to ask for.
        InputError: a size that is none.
    """
    workers = sum(_workers(repository / name) for name in models)
    needed = max(_LEAST_BYTES, workers * _WORKER_BYTES * (1 + _SPARE))
    if options.ipc == "host":
        place, there = "this machine's /dev/shm", shutil.disk_usage("/dev/shm").free
        remedy = "Free some of it, or give the container its own: --ipc private."
    else:
        place, there = "the container's /dev/shm", options.shm_bytes()
        remedy = f"Write --shm-size {-(-needed // 2**20)}MiB, or more."
    if there < needed:
        raise HostError(
            f"{place} has {gibibytes(there)}, too little for {workers} workers of models, which "
            f"need {gibibytes(needed)}",
            remedy,
        )


def _workers(folder: Path) -> int:
    from nosbuild.repository.config import read_config

    try:
        config = read_config(folder / "config.pbtxt")
    except RepositoryError:
        return 0  # Triton names what is wrong with it
    if config.backend not in _PYTHON_BASED:
        return 0
    return sum(group.count or 1 for group in config.instance_group) or 1
