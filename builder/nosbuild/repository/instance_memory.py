"""A version folder, or a ModelConfig, goes in; what an instance holds, or how many there are, comes
out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import GOLDEN, LOCK
from nosbuild.repository.lock import read_lock

_MIB = 2**20
_PROCESS_BYTES = {"python": 32 * _MIB}
_OTHER_PROCESS_BYTES = 64 * _MIB
"""A worker with ONNX Runtime or TensorRT in it, and a model of no size."""
_COPIES = {"python": 1}
_OTHER_COPIES = 2
"""A session's own copy of the weights beside those of the file."""
_PEAK = "peak"
_DEVICE_PEAK = "device_peak"
"""In a lock's ``memory``: the most bytes of main memory, and of a GPU's."""


def configured_instances(config: Any) -> int:
    """Instances that a config.pbtxt names, of each version; 0 where it leaves them to Triton.

    A group without ``gpus`` that runs on GPUs means each that there is; here, one.
    """
    return sum((group.count or 1) * (len(group.gpus) or 1) for group in config.instance_group)


def instance_bytes(version: Path, backend: str) -> int:
    """Of main memory: at most, as the build measured it; from the files where it did not."""
    return measured_bytes(version) or estimated_bytes(version, backend)


def measured_bytes(version: Path, *, on_gpu: bool = False) -> int | None:
    """As the build measured it; None where it did not."""
    try:
        memory = read_lock(version / LOCK).memory
    except RepositoryError:
        return None  # made by hand, or broken: whoever checks or loads it says so
    return (memory or {}).get(_DEVICE_PEAK if on_gpu else _PEAK)


def estimated_bytes(version: Path, backend: str) -> int:
    """From the size of its files, for whichever memory it is in."""
    process = _PROCESS_BYTES.get(backend, _OTHER_PROCESS_BYTES)
    return process + _COPIES.get(backend, _OTHER_COPIES) * _served_bytes(version)


def _served_bytes(version: Path) -> int:
    """Files that a worker may read: not the golden samples."""
    if not version.is_dir():
        return 0
    files = (file for file in version.rglob("*") if file.is_file())
    return sum(
        file.stat().st_size for file in files if GOLDEN not in file.relative_to(version).parts
    )
