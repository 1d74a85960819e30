"""Virtual environments and pip, with pip's own words as the reason when it fails."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nosbuild.errors import HostError

# Settings of the user's pip and Python that would send the files elsewhere; where pip looks for
# packages (index, proxy, certificates) stays the user's.
_UNSET = (
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONHOME",
    "PYTHONPATH",
)
_LAST_LINES = 8


def make_venv(interpreter: Path, folder: Path) -> None:
    """A virtual environment without pip in ``folder``.

    Raises:
        HostError: the interpreter has no venv module, or cannot make one.
    """
    _run(
        [str(interpreter), "-I", "-m", "venv", "--without-pip", str(folder)],
        f"{interpreter} cannot make a virtual environment",
        "Install its venv module (Debian: apt install python3-venv).",
    )


def install(packages: Sequence[str], *options: str, python: Path | None = None) -> None:
    """``pip install`` into the environment of ``python``, or as ``options`` say.

    Raises:
        HostError: with the last lines that pip wrote.
    """
    _run(
        [
            *_pip(python),
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
            *options,
            *packages,
        ],
        f"pip could not install {', '.join(packages)}",
        "Check the network and pip's index (pip config list), then run the command again.",
    )


def _pip(python: Path | None) -> list[str]:
    if importlib.util.find_spec("pip"):
        own = [sys.executable, "-m", "pip"]
        return [*own, "--python", str(python)] if python else own
    if importlib.util.find_spec("ensurepip"):
        # pip's wheel is in the standard library, and runs without being installed.
        import ensurepip

        bundled = Path(ensurepip.__file__).parent / "_bundled"
        for wheel in bundled.glob("pip-*.whl"):
            return [str(python or sys.executable), f"{wheel}/pip"]
    raise HostError(
        f"{sys.executable} has no pip, which installs the server environment",
        f"Install it: {sys.executable} -m ensurepip, or uv pip install pip.",
    )


def _run(command: list[str], problem: str, remedy: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in _UNSET}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env=variables,
        )
    except OSError as error:
        raise HostError(f"{problem}: {error}", remedy) from error
    if done.returncode:
        last = done.stdout.strip().splitlines()[-_LAST_LINES:]
        raise HostError("\n  ".join([f"{problem}:", *last]), remedy)
