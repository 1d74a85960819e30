"""A locked environment goes in; a folder with its Python and packages comes out.

``<cache folder>/environments/<key>/`` is a virtual environment, made once and shared by every model
with the same lock. It works as ``EXECUTION_ENV_PATH`` of Triton's Python backend as it is: Triton
sources ``bin/activate``, puts ``lib/`` first on LD_LIBRARY_PATH and starts its stub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.activation import check_readable, make_relocatable, renew
from nosbuild.environments.interpreters import find_interpreter, link_library
from nosbuild.environments.locked import LockedEnvironment, this_platform
from nosbuild.environments.made_once import made_once, remove_made
from nosbuild.environments.packages import PipFailed, make_venv, run_pip
from nosbuild.environments.pip_reasons import pip_reason
from nosbuild.environments.resolving import WHY_NUMPY_1, resolve
from nosbuild.errors import HostError, InputError
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder
from nosbuild.store.host_errors import FULL
from nosbuild.store.scratch import scratch_folder

__all__ = ["Environment", "LockedEnvironment", "environment_folder", "model_environment", "resolve"]

LOCK_FILE = "environment.json"
"""What the environment was made from, in its folder."""
REQUIREMENTS_FILE = "requirements.txt"
"""The same for pip."""
NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH", "VIRTUAL_ENV")
"""Variables that would bring packages of the user into a Python that is not theirs."""


@dataclass(frozen=True)
class Environment:
    """A Python with the packages of a model."""

    folder: Path
    locked: LockedEnvironment

    @property
    def key(self) -> str:
        """As the lock says."""
        return self.locked.key

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python3"

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.folder / "lib" / f"python{self.locked.python}" / "site-packages"

    def variables(self) -> dict[str, str]:
        """Environment variables of a process that runs in it, as Triton's worker does."""
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        return {
            **inherited,
            "PATH": os.pathsep.join([str(self.folder / "bin"), os.environ.get("PATH", os.defpath)]),
            "VIRTUAL_ENV": str(self.folder),
            "PYTHONNOUSERSITE": "1",
            "PYTHONPYCACHEPREFIX": str(cache_folder() / "pycache"),
        }


def environments_folder() -> Path:
    """Where the environments of models lie."""
    return cache_folder() / "environments"


def environment_folder(locked: LockedEnvironment) -> Path:
    """Where the environment lies, once made."""
    return environments_folder() / locked.key


def read_lock_of(folder: Path) -> LockedEnvironment | None:
    """What the environment in the folder was made from; None where it does not say."""
    file = folder / LOCK_FILE
    try:
        return LockedEnvironment.from_json(json.loads(file.read_text(encoding="utf-8")), str(file))
    except (OSError, ValueError, InputError):
        return None


def model_environment(
    locked: LockedEnvironment, on_progress: Callable[[str], None], *, where: str = "requirements"
) -> Environment:
    """The environment, made now if it is not there yet; nobody removes it while this process lives.

    Args:
        locked: what to install; every file must have one of its hashes.
        on_progress: told what happens, one line at a time.
        where: what to call the requirements in an error.

    Raises:
        InputError: a lock with numpy 2, or packages that are gone or are not those that were
            locked.
        HostError: another machine's lock, no such Python here, no network, a package that does
            not build, or a cache folder that cannot be written.
    """
    _refuse_foreign(locked, where)
    folder = environment_folder(locked)
    check_readable(folder, f"Name another folder in {CACHE_VARIABLE}.")
    if folder.is_dir() and not (folder / "bin/python3").exists():
        on_progress(f"Removing {folder.name}, whose Python is gone")
        remove_made(folder)
    made_once(
        folder,
        lambda making: _make(making, folder, locked, on_progress, where),
        on_progress,
    )
    with suppress(OSError):  # a cache that cannot be written is used as it is
        renew(folder, locked.python)
    return Environment(folder, locked)


def _refuse_foreign(locked: LockedEnvironment, where: str) -> None:
    if locked.platform != this_platform():
        raise HostError(
            f"{where}: the environment was locked for {locked.platform}, this is {this_platform()}",
            "Build the model on this kind of machine.",
        )
    numpy = locked.version("numpy")
    if numpy and int(numpy.partition(".")[0]) >= 2:
        raise InputError(
            f"{where}: the environment is locked with numpy {numpy}. {WHY_NUMPY_1}",
            "Ask for versions that work with numpy 1.26, then build again.",
        )


def _make(
    making: Path,
    folder: Path,
    locked: LockedEnvironment,
    on_progress: Callable[[str], None],
    where: str,
) -> None:
    interpreter = find_interpreter(locked.minor)
    names = ", ".join(f"{each.name} {each.version}" for each in locked.packages)
    on_progress(f"Making a Python {locked.python} environment with {names or 'nothing else'}")
    make_venv(interpreter.executable, making, system_site=locked.system_site)
    if locked.packages:
        _install(making, locked, on_progress, where)
    link_library(interpreter, making / "lib")
    make_relocatable(making, locked.python, interpreter.executable, locked.system_site)
    (making / LOCK_FILE).write_text(json.dumps(locked.as_json(), indent=1) + "\n", encoding="utf-8")


def _install(
    making: Path, locked: LockedEnvironment, on_progress: Callable[[str], None], where: str
) -> None:
    lines = making / REQUIREMENTS_FILE
    lines.write_text("".join(f"{each.requirement}\n" for each in locked.packages), encoding="utf-8")

    def tell(line: str) -> None:
        if line.startswith("Building wheel for ") and line.endswith("started"):
            on_progress(line.partition(":")[0])

    # Compiled when imported, into the cache folder: see inside_triton/server_python.
    options = ["--no-deps", "--require-hashes", "--ignore-installed", "--no-compile"]
    try:
        with scratch_folder(making.parent) as scratch:
            run_pip(
                ["install", *options, f"--requirement={lines}"],
                python=making / "bin/python3",
                scratch=scratch,
                on_line=tell,
            )
    except PipFailed as failed:
        reason = pip_reason(failed.lines)
        message = "\n  ".join([f"{where}: pip could not install what was locked:", *reason.lines])
        if reason.kind == "requirement":
            raise InputError(
                message, "Build again; nosbuild build --fresh chooses the versions anew."
            ) from failed
        if reason.kind == "build":
            remedy = "Ask for versions with a wheel for this Python, or install what it lacks."
            raise HostError(message, remedy) from failed
        if reason.kind == "disk":
            raise HostError(message, FULL) from failed
        raise HostError(
            message, "Check the network and pip's index (pip config list), then try again."
        ) from failed
