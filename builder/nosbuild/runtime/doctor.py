"""Looks at this machine: what nosbuild needs, what it could use, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.errors import HostError
from nosbuild.plan.host import version_of
from nosbuild.runtime.environment import server_folder
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder

_SHM_BYTES = 256 * 1024 * 1024
"""Enough for a handful of workers at Triton's first megabyte each, and for growing tensors."""
_ENVIRONMENT_BYTES = 1024**3
_PROBE_SECONDS = 20
_TENSORRT = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
_GPU_PROBE = """
from nosbuild.plan.gpus import NoGpu, gpus
found = gpus()
if isinstance(found, NoGpu):
    raise SystemExit(found.reason)
for gpu in found:
    memory = f"{gpu.memory_bytes / 1024**3:.0f} GiB"
    print(f"{gpu.name} ({memory}, compute capability {gpu.compute_capability}, CUDA {gpu.cuda})")
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    """What was found, or what is missing."""
    remedy: str = ""
    """How to get it; empty where it is there."""
    required: bool = True
    """False: nosbuild works without it."""


def examine() -> list[Finding]:
    """Looks at everything; nothing is installed or changed."""
    return [look() for look in _LOOKS]


def what_embedded_needs() -> list[Finding]:
    """The same for what an embedded server needs alone."""
    return [look() for look in (_interpreter, _venv, _pip, _cache, _triton, _shared_memory)]


def look_at_gpu() -> Finding:
    """The same for a GPU."""
    return _gpu()


def _interpreter() -> Finding:
    try:
        found = find_interpreter()
    except HostError as error:
        return Finding("Python for Triton", False, error.message, error.remedy)
    version = ".".join(str(part) for part in found.version)
    return Finding("Python for Triton", True, f"{version} at {found.executable}, {found.library}")


def _venv() -> Finding:
    if importlib.util.find_spec("venv"):
        return Finding("venv module", True, "there")
    return Finding("venv module", False, "missing", "Debian: apt install python3-venv")


def _pip() -> Finding:
    for module in ("pip", "ensurepip"):
        if importlib.util.find_spec(module):
            return Finding("pip", True, f"{module} of {sys.executable}")
    return Finding("pip", False, f"{sys.executable} has none", "uv pip install pip")


def _triton() -> Finding:
    what = "Triton environment"
    try:
        folder = server_folder(find_interpreter())
    except HostError as error:
        return Finding(what, False, "needs a Python first", error.remedy)
    if folder.is_dir():
        return Finding(what, True, str(folder))
    free = shutil.disk_usage(_existing(folder)).free
    if free < _ENVIRONMENT_BYTES:
        return Finding(
            what,
            False,
            f"needs about 1 GB in {folder.parent}, {free / 1e9:.1f} GB are free",
            f"Free some space, or set {CACHE_VARIABLE} to a folder with more.",
        )
    return Finding(what, True, f"will be made on first use in {folder.parent}")


def _shared_memory() -> Finding:
    what, folder = "shared memory", Path("/dev/shm")
    if not folder.is_dir():
        return Finding(what, False, f"{folder} is missing", f"Mount a tmpfs on {folder}.")
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**2:.0f} MiB free in {folder}"
    remedy = "" if free >= _SHM_BYTES else "In a container: run it with --shm-size=1g."
    return Finding(what, not remedy, text, remedy)


def _package(name: str, extra: str, module: str | None = None) -> Callable[[], Finding]:
    def look() -> Finding:
        required = not extra
        remedy = f"pip install '{f'nosbuild[{extra}]' if extra else name}'"
        try:
            found = importlib.util.find_spec(module or name)
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found, version = None, ""
        if found is None:
            return Finding(name, False, "not installed", remedy, required)
        return Finding(name, True, version, required=required)

    return look


def _gpu() -> Finding:
    # In a child: a broken driver can take the process with it.
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-c", _GPU_PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"the NVIDIA driver did not answer in {_PROBE_SECONDS} seconds"
        return Finding("GPU", False, detail, "Check it with nvidia-smi.", required=False)
    if probe.returncode == 0:
        return Finding("GPU", True, "; ".join(probe.stdout.splitlines()), required=False)
    reason = (probe.stderr.strip().splitlines() or ["the driver does not answer"])[-1]
    remedy = "Install the NVIDIA driver; in a container, run it with --gpus all."
    return Finding("GPU", False, reason, remedy, required=False)


def _tensorrt() -> Finding:
    for distribution in _TENSORRT:
        if version := version_of(distribution):
            return Finding("TensorRT", True, f"{distribution} {version}", required=False)
    return Finding(
        "TensorRT",
        False,
        "not installed",
        "pip install 'nosbuild[tensorrt]' where the GPU is; 'nosbuild[tensorrt-rtx]' builds "
        "engines without one",
        required=False,
    )


def _docker() -> Finding:
    if not (docker := shutil.which("docker")):
        remedy = "Install Docker to serve in NVIDIA's container; embedded serving needs none."
        return Finding("Docker", False, "not installed", remedy, required=False)
    try:
        answer = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"the engine did not answer in {_PROBE_SECONDS} seconds"
        return Finding("Docker", False, detail, "Restart the Docker engine.", required=False)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["the engine does not answer"])[-1]
        remedy = "Start the engine, or join the group that may use it."
        return Finding("Docker", False, reason, remedy, required=False)
    return Finding("Docker", True, answer.stdout.strip(), required=False)


def _cache() -> Finding:
    folder = cache_folder()
    existing = _existing(folder)
    try:
        tempfile.TemporaryFile(dir=existing).close()  # leaves nothing
    except OSError as error:
        remedy = f"Make it writable, or set {CACHE_VARIABLE} to a folder that is."
        return Finding("cache folder", False, f"{existing}: {error.strerror}", remedy)
    return Finding("cache folder", True, str(folder))


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())


_LOOKS: tuple[Callable[[], Finding], ...] = (
    _interpreter,
    _venv,
    _pip,
    _cache,
    _triton,
    _shared_memory,
    _package("onnx", ""),
    _package("onnxruntime", ""),
    _package("torch", "torch"),
    _package("transformers", "torch"),
    _package("scikit-learn", "sklearn", "sklearn"),
    _package("skl2onnx", "sklearn"),
    _gpu,
    _tensorrt,
    _docker,
)
