"""Nothing goes in; what this host has comes out: processors, memory, libraries."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from nosbuild.plan.gpus import Gpu, NoGpu, gpus

LIBRARIES = (
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "onnxslim",
    "scikit-learn",
    "skl2onnx",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx-cu12",
    "tensorrt-rtx-cu13",
    "torch",
    "transformers",
)
"""Distributions whose version may change what a build makes."""


@dataclass(frozen=True)
class HostFacts:
    """What a plan may depend on, and what a lock records."""

    cpus: int
    """Processors this process may use: its affinity, or its container's quota if that is less."""
    cpu_model: str
    memory_bytes: int
    python: str
    libraries: dict[str, str]
    """Distribution -> version, for those installed."""
    gpus: tuple[Gpu, ...] = ()
    no_gpu: str = ""
    """Why there is none; empty where there is one."""


def host_facts() -> HostFacts:
    """Look at this machine; nothing is imported and nothing is started."""
    found = gpus()
    return HostFacts(
        cpus=_cpus(),
        cpu_model=_cpu_model(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        libraries={name: version for name in LIBRARIES if (version := version_of(name))},
        gpus=() if isinstance(found, NoGpu) else found,
        no_gpu=found.reason if isinstance(found, NoGpu) else "",
    )


@cache
def version_of(distribution: str) -> str:
    """The installed version; empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _cpus() -> int:
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return allowed  # no control group of version 2
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
