"""The managed server environment: the real Triton, and a Python of its own for its backends.

Made once in the cache folder, then reused: ``server/<key>/{triton,python,lib}`` holds what pip
installs, ``backends/<key>/`` the backend folder assembled from it and from ``inside_triton/``.
Triton 2.51's Python backend corrupts tensors with numpy 2, so nothing here is shared with the
user's environment, which may hold any numpy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.interpreters import Interpreter, find_interpreter, link_library
from nosbuild.environments.made_once import made_once
from nosbuild.environments.model_environment import NOT_INHERITED, environments_folder
from nosbuild.environments.packages import install, make_venv
from nosbuild.runtime.gpu_needs import GpuNeeds
from nosbuild.store.folders import cache_folder

TRITON_WHEEL = "nvidia-pytriton==0.7.0"
"""Carries the real tritonserver 2.51.0 (release 24.10); nothing else of it is used."""

_NUMPY = "numpy==1.26.4"
PACKAGES: dict[tuple[int, int], tuple[str, ...]] = {
    # 1.23.2 is the last ONNX Runtime for Python 3.10.
    (3, 10): (_NUMPY, "onnxruntime==1.23.2"),
    (3, 11): (_NUMPY, "onnxruntime==1.32.0"),
    (3, 12): (_NUMPY, "onnxruntime==1.32.0"),
}
"""What the backends run on, per minor version of Python."""

NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime (1.32) otherwise keeps a record of each session and sends it to its makers; whoever
wants that sets the variable to 0."""

_LAYOUT = "1"
"""Part of the key: raise it when what is made from the same packages changes."""

_INSIDE_TRITON = Path(__file__).parents[1] / "inside_triton"
_SHARED = _INSIDE_TRITON / "shared"
_SHARED_WITH_PYTHON_MODELS = tuple(
    _INSIDE_TRITON / "python_model/nos_python_model" / name
    for name in ("execution_deadline.py", "hung_at.py")
)
_SERVER_PYTHON = _INSIDE_TRITON / "server_python"
_IGNORED = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True)
class ServerEnvironment:
    """Where everything lies that a Triton process needs."""

    folder: Path
    interpreter: Interpreter
    backends: Path
    """For ``--backend-directory``."""

    @property
    def tritonserver(self) -> Path:
        """The server's executable."""
        return self.folder / "triton/pytriton/tritonserver/bin/tritonserver"

    @property
    def caches(self) -> Path:
        """For ``--cache-directory``."""
        return self.folder / "triton/pytriton/tritonserver/caches"

    @property
    def python(self) -> Path:
        """The interpreter that runs inside Triton's Python backend."""
        return self.folder / "python/bin/python3"

    def stub(self, minor: tuple[int, int]) -> Path:
        """What starts a worker under another Python than the server's own."""
        stubs = self.folder / "triton/pytriton/tritonserver/python_backend_stubs"
        return stubs / "{}.{}".format(*minor) / "triton_python_backend_stub"

    def variables(self) -> dict[str, str]:
        """The environment variables of the server process.

        The stub finds its Python as ``python3`` on PATH and its libpython on LD_LIBRARY_PATH; the
        user's PYTHONPATH would bring the user's numpy along.
        """
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        libraries = [str(self.folder / "lib"), str(self.folder / "triton/nvidia_pytriton.libs")]
        return {
            **NO_TELEMETRY,
            **inherited,
            "PATH": _joined(str(self.python.parent), inherited.get("PATH", os.defpath)),
            "LD_LIBRARY_PATH": _joined(*libraries, inherited.get("LD_LIBRARY_PATH", "")),
            "PYTHONNOUSERSITE": "1",
            # The numbers of GPUs are then those that nvidia-smi and NVML give them.
            "CUDA_DEVICE_ORDER": inherited.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
            # For these two see inside_triton/server_python/sitecustomize.py.
            "PYTHONUNBUFFERED": "1",
            "PYTHONPYCACHEPREFIX": str(cache_folder() / "pycache"),
            # For this one inside_triton/model_environments/activate.
            "NOSBUILD_ENVIRONMENTS": str(environments_folder()),
        }


def server_environment(
    on_progress: Callable[[str], None], needs: GpuNeeds | None = None
) -> ServerEnvironment:
    """The environment for this machine, made now if it is not there yet.

    Where ``NOSBUILD_TRITON`` names a Triton that is installed (as in NVIDIA's containers), it is
    that one, and nothing is made.

    Args:
        on_progress: told what happens, one line at a time.
        needs: of the models on GPUs; each combination has an environment of its own.

    Raises:
        HostError: no suitable Python, or a package that cannot be installed.
    """
    from nosbuild.runtime.installed_server import installed_server

    if installed := installed_server():
        return installed
    interpreter = find_interpreter()
    packages = _packages(interpreter, needs)
    folder = made_once(
        server_folder(interpreter, needs),
        lambda making: _install(making, interpreter, packages, on_progress),
        on_progress,
    )
    backends = made_once(
        backends_folder(folder),
        lambda making: _assemble_backends(making, folder, interpreter),
        on_progress,
    )
    return ServerEnvironment(folder, interpreter, backends)


def server_folder(interpreter: Interpreter, needs: GpuNeeds | None = None) -> Path:
    """Where the environment for that interpreter lies, once made."""
    version = ".".join(str(part) for part in interpreter.version)
    packages = _packages(interpreter, needs)
    own = _contents(_SERVER_PYTHON)
    key = _key(_LAYOUT, TRITON_WHEEL, *packages, *own, str(interpreter.executable), version)
    return cache_folder() / "server" / key


def backends_folder(server: Path) -> Path:
    """Where the backends for that environment lie, once assembled."""
    ours = [*_contents(_INSIDE_TRITON / "backends"), *_contents(_SHARED)]
    key = _key(server.name, *ours, *(file.read_text() for file in _SHARED_WITH_PYTHON_MODELS))
    return cache_folder() / "backends" / key


def _packages(interpreter: Interpreter, needs: GpuNeeds | None) -> tuple[str, ...]:
    return (needs or GpuNeeds()).packages(interpreter.minor, PACKAGES[interpreter.minor])


def _install(
    making: Path,
    interpreter: Interpreter,
    packages: tuple[str, ...],
    on_progress: Callable[[str], None],
) -> None:
    on_progress("Installing Triton Inference Server (once, about 60 MB)")
    triton = making / "triton"
    install([TRITON_WHEEL], "--no-deps", "--no-compile", "--target", str(triton))
    for entry in [*(triton / "pytriton").iterdir(), *triton.iterdir()]:
        if entry.name not in ("tritonserver", "pytriton", "nvidia_pytriton.libs") and (
            not entry.name.endswith(".dist-info")  # holds the licences
        ):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (triton / "pytriton/tritonserver/bin/tritonserver").chmod(0o755)

    on_progress(f"Installing {', '.join(packages)} for the server")
    venv = making / "python"
    make_venv(interpreter.executable, venv)
    # TensorRT comes as a source package of a few lines, whose parts are wheels.
    wheels = () if any("tensorrt" in name for name in packages) else ("--only-binary=:all:",)
    install(packages, *wheels, python=venv / "bin/python3")
    site_packages = venv / "lib" / "python{}.{}".format(*interpreter.minor) / "site-packages"
    shutil.copytree(_SERVER_PYTHON, site_packages, dirs_exist_ok=True, ignore=_IGNORED)
    # Scripts carry the path they were installed under, which the rename changes. The
    # interpreter is a link, and finds its packages from where it is called.
    for script in (venv / "bin").iterdir():
        if not script.is_symlink():
            script.unlink()

    (making / "lib").mkdir()
    link_library(interpreter, making / "lib")


def _assemble_backends(making: Path, folder: Path, interpreter: Interpreter) -> None:
    """The layout that Triton searches: ``<backend>/libtriton_<backend>.so`` or ``model.py``."""
    server = folder / "triton/pytriton/tritonserver"
    minor = "{}.{}".format(*interpreter.minor)
    python = making / "python"
    shutil.copytree(server / "backends/python", python)
    stub = shutil.copy(
        server / "python_backend_stubs" / minor / "triton_python_backend_stub", python
    )
    Path(stub).chmod(0o755)
    for model in (_INSIDE_TRITON / "backends").glob("*/model.py"):
        backend = making / model.parent.name
        shutil.copytree(model.parent, backend, ignore=_IGNORED)
        # A Python-based backend finds modules in its own folder only.
        shutil.copytree(_SHARED, backend, dirs_exist_ok=True, ignore=_IGNORED)
        for file in _SHARED_WITH_PYTHON_MODELS:
            shutil.copy(file, backend)


def _contents(folder: Path) -> list[str]:
    """Path and content of every file, as text that changes with any of them."""
    return [
        f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _joined(*paths: str) -> str:
    return os.pathsep.join(path for path in paths if path)
