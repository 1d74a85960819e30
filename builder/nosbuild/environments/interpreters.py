"""Finds the Python that Triton's Python backend runs on: one with a shared library.

The backend's stub links ``libpython3.X.so.1.0`` and needs numpy 1.26, whose wheels end at 3.12.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import HostError

SUPPORTED = ((3, 11), (3, 12), (3, 10))
"""Minor versions that can host the stub, the preferred first."""

_FACTS = """
import json, sys, sysconfig
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "folders": [sysconfig.get_config_var("LIBDIR") or "", sys.base_prefix + "/lib"],
}))
"""
_PROBE_SECONDS = 20


@dataclass(frozen=True)
class Interpreter:
    """A Python installation that can be embedded."""

    executable: Path
    version: tuple[int, int, int]
    library: Path
    """Its ``libpython3.X.so.1.0``."""

    @property
    def minor(self) -> tuple[int, int]:
        """``(3, 11)``."""
        return self.version[:2]


def link_library(interpreter: Interpreter, folder: Path) -> None:
    """Put its library into the folder, alone: others beside it must not shadow Triton's."""
    (folder / interpreter.library.name).symlink_to(interpreter.library)


def find_interpreter(minor: tuple[int, int] | None = None) -> Interpreter:
    """The running interpreter where it can host the stub, otherwise another one of this machine.

    Args:
        minor: only one of this version, such as ``(3, 12)``.

    Raises:
        HostError: there is none.
    """
    tried = []
    for candidate in _candidates():
        found = examine(candidate)
        if isinstance(found, Interpreter):
            if minor is None or found.minor == minor:
                return found
            found = "is {}.{}".format(*found.minor)
        tried.append(f"  {candidate}: {found}")
    wanted = "{}.{}".format(*(minor or SUPPORTED[0]))
    which = f"No Python {wanted}" if minor else "No Python"
    raise HostError(
        f"{which} that Triton's Python backend can use was found:\n" + "\n".join(tried),
        f"Install Python {wanted} with its shared library: apt install python{wanted} "
        f"libpython{wanted} (where Debian or Ubuntu has it), or "
        f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {wanted}, or uv python install "
        f"{wanted}.",
    )


def _candidates() -> Iterator[Path]:
    """Interpreters worth a look: the running one, those on PATH, then pyenv's, uv's, conda's."""
    seen: set[Path] = set()
    for path in _places():
        # Not Path.is_file, which raises where a folder may not be looked into.
        if os.path.isfile(path) and (real := path.resolve()) not in seen:  # noqa: PTH113
            seen.add(real)
            yield path


def _places() -> Iterator[Path]:
    yield Path(sys.executable)
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path's own raises where there is none
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    for major, minor in SUPPORTED:
        name = f"python{major}.{minor}"
        for folder in ("/usr/bin", "/usr/local/bin"):
            yield Path(folder) / name
        # Newest patch release last in the alphabet, near enough.
        yield from sorted(pyenv.glob(f"{major}.{minor}.*/bin/{name}"), reverse=True)
        yield from sorted(uv.glob(f"cpython-{major}.{minor}.*/bin/{name}"), reverse=True)
        if on_path := shutil.which(name):
            yield Path(on_path)
    if prefix := os.environ.get("CONDA_PREFIX"):
        yield Path(prefix) / "bin/python3"


def examine(python: Path) -> Interpreter | str:
    """The interpreter, or why it cannot be used: a clause."""
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _FACTS],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run ({type(error).__name__})"
    facts = json.loads(answer.stdout)
    major, minor, patch = facts["version"]
    if (major, minor) not in SUPPORTED:
        return f"is {major}.{minor}; numpy 1.26, which Triton needs, has wheels for 3.10 to 3.12"
    name = f"libpython{major}.{minor}.so.1.0"
    for folder in facts["folders"]:
        library = Path(folder) / name
        if folder and library.is_file():
            return Interpreter(Path(facts["executable"]), (major, minor, patch), library)
    return f"has no shared library ({name} is not in {' or '.join(facts['folders'])})"
