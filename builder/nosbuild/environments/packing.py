"""An environment goes in; one file with it, for a Triton in a container, comes out.

Where ``EXECUTION_ENV_PATH`` is a file, Triton unpacks it below ``/tmp`` and sources its
``bin/activate`` (python_backend, src/pb_env.cc and src/stub_launcher.cc). Nothing in it may know
where it lies, and its interpreter is the container's own.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.activation import settings
from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.made_once import USED
from nosbuild.environments.model_environment import LOCK_FILE, REQUIREMENTS_FILE, Environment
from nosbuild.errors import InputError
from nosbuild.plan.triton_pythons import python_of
from nosbuild.store.host_errors import host_errors
from nosbuild.store.scratch import scratch_folder

CONTAINER_PYTHON = Path("/usr/bin/python3")
"""Of NVIDIA's images, which are Ubuntu's."""

_WHEN = 315532800
"""1980-01-01: the same environment packed twice is the same file."""
_LEVEL = 6
_OF_THIS_MACHINE = (USED, REQUIREMENTS_FILE)


def check_container(locked: LockedEnvironment, release: str, *, where: str = "python") -> None:
    """Refuse an environment that a release's container has no Python for.

    Args:
        locked: the environment.
        release: of NVIDIA's container, such as ``24.10``.
        where: what to call the model in the error.

    Raises:
        InputError: it has another minor version.
    """
    theirs = python_of(release)
    if locked.python != theirs:
        raise InputError(
            f"{where}: the environment is for Python {locked.python}, Triton {release}'s container "
            f"has Python {theirs}",
            f'Write python: "{theirs}" in the model.yaml.',
        )


def pack(
    environment: Environment,
    file: Path,
    *,
    python: Path = CONTAINER_PYTHON,
    on_progress: Callable[[str], None],
) -> Path:
    """Write the environment into one gzipped tar file, which replaces at once what lies there.

    Args:
        environment: the environment.
        file: ``<model>/environments/<key>`` is where config.pbtxt looks.
        python: the interpreter of the machine that unpacks it, of the same minor version.
        on_progress: told what happens, one line at a time.

    Returns:
        ``file``.

    Raises:
        HostError: the file cannot be written.
    """
    on_progress(f"Packing the environment {environment.key}")
    with host_errors(f"{file} cannot be written", "Make its folder writable."):
        file.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(file.parent) as scratch:
            content = {
                **_packages(environment),
                **_own(environment, python),
                **_compiled(environment, scratch / "compiled"),
            }
            new = scratch / "packed"
            with (
                new.open("wb") as raw,
                gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as zipped,
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as archive,
            ):
                for name in sorted(content):
                    content[name].add(archive, name)
            new.replace(file)
    return file


@dataclass(frozen=True)
class _Entry:
    """One file of the archive: a file of this machine, a text, or a link."""

    source: Path | None = None
    text: str = ""
    leads_to: str = ""
    is_executable: bool = False

    def add(self, archive: tarfile.TarFile, name: str) -> None:
        """Nothing of this machine but the content: no owner, no time."""
        entry = tarfile.TarInfo(name)
        entry.mtime = _WHEN
        entry.mode = 0o755 if self.is_executable else 0o644
        if self.leads_to:
            entry.type, entry.linkname = tarfile.SYMTYPE, self.leads_to
            archive.addfile(entry)
        elif self.source:
            with self.source.open("rb") as file:
                entry.size = os.fstat(file.fileno()).st_size
                archive.addfile(entry, file)
        else:
            content = self.text.encode()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _own(environment: Environment, python: Path) -> dict[str, _Entry]:
    """The interpreter, and how it is found."""
    locked = environment.locked
    lock = json.dumps(locked.as_json(), indent=1) + "\n"
    return {
        "pyvenv.cfg": _Entry(text=settings(locked.python, python, locked.system_site)),
        LOCK_FILE: _Entry(text=lock),
        "bin/python3": _Entry(leads_to=str(python)),
        "bin/python": _Entry(leads_to="python3"),
    }


def _packages(environment: Environment) -> dict[str, _Entry]:
    """What packages brought, wherever in the environment, and how it is activated."""
    entries = {}
    for path in environment.folder.rglob("*"):
        name = str(path.relative_to(environment.folder))
        if path.is_symlink():
            if not path.readlink().is_absolute():  # others lead to this machine's Python
                entries[name] = _Entry(leads_to=str(path.readlink()))
        elif path.is_file() and name not in _OF_THIS_MACHINE:
            is_executable = bool(path.stat().st_mode & stat.S_IXUSR)
            entries[name] = _Entry(path, is_executable=is_executable)
    return entries


def _compiled(environment: Environment, folder: Path) -> dict[str, _Entry]:
    """Byte code that Python takes without a look at the source: Triton unpacks at every start.

    What does not compile is left out, as pip does: packages have files for other Pythons.
    """
    packages = str(environment.site_packages)
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", packages, "-p", "/"]
    subprocess.run(
        [str(environment.python), "-m", "compileall", *options, packages],
        env={
            **environment.variables(),
            "PYTHONPYCACHEPREFIX": str(folder),
            "PYTHONHASHSEED": "0",  # the order of sets is written down
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    root = folder / environment.folder.relative_to("/")  # mirrored below the prefix
    return {
        str(path.relative_to(root).parent / "__pycache__" / path.name): _Entry(path)
        for path in root.rglob("*.pyc")
    }
