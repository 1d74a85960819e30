"""Requirements go in; the exact packages that pip's resolver chooses for them come out."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nosbuild.environments.interpreters import SUPPORTED, Interpreter, find_interpreter
from nosbuild.environments.locked import (
    LockedEnvironment,
    LockedPackage,
    normalised,
    this_platform,
)
from nosbuild.environments.packages import PipFailed, run_pip
from nosbuild.environments.pip_reasons import PipReason, pip_reason
from nosbuild.errors import HostError, InputError
from nosbuild.spec.pip_requirements import VERSION_CONTROL
from nosbuild.store.folders import cache_folder
from nosbuild.store.hashing import sha256_of_value
from nosbuild.store.host_errors import FULL, cache_errors
from nosbuild.store.scratch import scratch_folder

NUMPY = "numpy<2"
"""Required of every environment: Triton hands tensors over as numpy arrays."""

WHY_NUMPY_1 = (
    "numpy must be below 2 in a model's environment: the Python backend of Triton 2.51 was built "
    "for numpy 1; with numpy 2 it hands over corrupted tensors."
)

_RESOLVED = "resolved"
_SEEN = """
import json
from importlib import metadata
print(json.dumps(sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()})))
"""


def resolve(
    requirements: Sequence[str],
    *,
    python: str | None = None,
    system_site: bool = False,
    previous: LockedEnvironment | None = None,
    fresh: bool = False,
    where: str = "requirements",
    on_progress: Callable[[str], None],
) -> LockedEnvironment:
    """Choose the packages, or take those that were chosen for the same requirements before.

    Args:
        requirements: as pip takes them (PEP 508); numpy comes along unless they say otherwise.
        python: minor version, such as ``3.12``; None for the one that the server has.
        system_site: packages that the interpreter itself has count as installed.
        previous: the lock of an earlier build; taken again if it was for the same requirements.
        fresh: ask pip in any case, so that newer versions are seen.
        where: what to call the requirements in an error, such as ``model.yaml: requirements``.
        on_progress: told what happens, one line at a time.

    Raises:
        InputError: a requirement that does not exist, cannot be locked, or excludes another.
        HostError: no such Python here, no network, or a package that does not build here.
    """
    asked = tuple(sorted({line.strip() for line in requirements if line.strip()}))
    _refuse_unlockable(asked, where)
    interpreter = find_interpreter(_minor(python, where) if python else None)
    if previous and not fresh and _is_for(previous, asked, interpreter, system_site):
        return previous
    kept = _kept(asked, interpreter, system_site)
    if not fresh and (found := _read(kept)):
        return found
    if asked:
        on_progress(f"Resolving {', '.join(asked)}")
    chosen = _chosen(_report(asked, interpreter, system_site, where, on_progress), where)
    locked = LockedEnvironment(
        "{}.{}".format(*interpreter.minor), this_platform(), system_site, chosen, asked
    )
    _write(kept, locked)
    return locked


def _minor(python: str, where: str) -> tuple[int, int]:
    for minor in SUPPORTED:
        if python == "{}.{}".format(*minor):
            return minor
    versions = ", ".join('"{}.{}"'.format(*minor) for minor in sorted(SUPPORTED))
    raise InputError(
        f"{where}: Python {python} cannot be had: numpy 1.26, which Triton's Python backend "
        "needs, has wheels for 3.10 to 3.12",
        f"Write python: as one of {versions}.",
    )


def _refuse_unlockable(requirements: Sequence[str], where: str) -> None:
    for line in requirements:
        if line.startswith("-"):
            raise InputError(
                f"{where}: {line!r} is an option of pip, not a requirement",
                "Where pip looks for packages stands in its own settings: pip config, or "
                "PIP_INDEX_URL and PIP_EXTRA_INDEX_URL.",
            )
        if VERSION_CONTROL.search(line):
            raise _not_lockable(line, "a version control system", where)


def _not_lockable(what: str, source: str, where: str) -> InputError:
    return InputError(
        f"{where}: {what} comes from {source}, which has no sha256 that could be locked",
        "Name a wheel or an archive instead (pip wheel makes one: name @ https://.../name.whl, "
        "or name @ file:///...); code of your own can simply lie beside model.py.",
    )


def _is_for(
    locked: LockedEnvironment,
    asked: tuple[str, ...],
    interpreter: Interpreter,
    system_site: bool,
) -> bool:
    return (
        locked.requirements == asked
        and locked.minor == interpreter.minor
        and locked.platform == this_platform()
        and locked.system_site == system_site
    )


def _report(
    asked: Sequence[str],
    interpreter: Interpreter,
    system_site: bool,
    where: str,
    on_progress: Callable[[str], None],
) -> Mapping[str, Any]:
    """Pip's installation report, format 1.

    Its format: https://pip.pypa.io/en/stable/reference/installation-report/
    """
    with _scratch() as scratch:
        file = scratch / "report.json"
        arguments = ["install", "--dry-run", f"--report={file}", *asked, NUMPY]
        if not system_site:
            arguments.append("--ignore-installed")
        try:
            run_pip(
                arguments,
                python=interpreter.executable,
                scratch=scratch,
                on_line=lambda line: _tell_of_download(line, on_progress),
            )
        except PipFailed as failed:
            raise _failure(pip_reason(failed.lines), asked, interpreter, where) from failed
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return report


def _tell_of_download(line: str, on_progress: Callable[[str], None]) -> None:
    """Large files take long; of small ones there are many."""
    found = re.match(r"\s*Downloading (\S+ \([\d.]+ [MG]B\))", line)
    if found:
        on_progress(f"Downloading {found[1]}")


def _failure(
    reason: PipReason, asked: Sequence[str], interpreter: Interpreter, where: str
) -> InputError | HostError:
    what = ", ".join(asked)
    python = "{}.{}".format(*interpreter.minor)
    message = "\n  ".join([f"{where}: pip cannot install {what}:", *reason.lines])
    if reason.kind == "conflict":
        if any(NUMPY in line for line in reason.lines):
            return InputError(
                f"{message}\n{WHY_NUMPY_1}",
                "Ask for versions that work with numpy 1.26.",
            )
        return InputError(message, "Loosen one of the requirements.")
    if reason.kind == "requirement":
        return InputError(
            message,
            f"Correct the name or the version; it must be there for Python {python} on "
            f"{this_platform()} (python: takes another).",
        )
    if reason.kind == "build":
        return HostError(
            message,
            "Ask for a version with a wheel for this Python, or install what its build lacks.",
        )
    if reason.kind == "disk":
        return HostError(message, FULL)
    if reason.kind == "network":
        return HostError(
            message, "Check the network and pip's index (pip config list), then build again."
        )
    return HostError(message, "Run pip by hand to see more, then build again.")


def _chosen(report: Mapping[str, Any], where: str) -> tuple[LockedPackage, ...]:
    packages = []
    for entry in report["install"]:
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        origin = entry["download_info"]
        if "vcs_info" in origin:
            raise _not_lockable(name, "a version control system", where)
        if "dir_info" in origin:
            raise _not_lockable(name, f"the folder {origin['url']}", where)
        archive = origin["archive_info"]
        digest = archive.get("hashes", {}).get("sha256")
        if digest is None:
            raise InputError(
                f"{where}: pip tells no sha256 of {name} {version} ({origin['url']})",
                "Remove it from pip's cache (pip cache remove), or use a newer pip.",
            )
        url = origin["url"] if entry["is_direct"] else ""
        packages.append(LockedPackage(normalised(name), version, (digest,), url))
    return tuple(sorted(packages, key=lambda package: package.name))


def _kept(asked: Sequence[str], interpreter: Interpreter, system_site: bool) -> Path:
    """The file that remembers the choice; where packages are looked for is not part of it."""
    parts = [list(asked), NUMPY, list(interpreter.minor), this_platform(), system_site]
    if system_site:
        parts.append(_seen_by(interpreter))
    return cache_folder() / _RESOLVED / f"{sha256_of_value(parts)[:16]}.json"


def _seen_by(interpreter: Interpreter) -> str:
    """The packages of the interpreter itself, as text."""
    command = [str(interpreter.executable), "-I", "-c", _SEEN]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostError(
            f"{interpreter.executable} cannot list its packages: {error}",
            "Repair that Python, or remove system_site.",
        ) from error


def _read(file: Path) -> LockedEnvironment | None:
    try:
        found = LockedEnvironment.from_json(json.loads(file.read_text(encoding="utf-8")), str(file))
    except (OSError, ValueError, InputError):
        return None  # not there, or of another nosbuild: pip is asked again
    with suppress(OSError):  # where it cannot be written, nobody removes it either
        file.touch()
    return found


def _write(file: Path, locked: LockedEnvironment) -> None:
    with _scratch() as scratch:
        new = scratch / "new"
        new.write_text(json.dumps(locked.as_json(), indent=1), encoding="utf-8")
        new.replace(file)


@contextmanager
def _scratch() -> Iterator[Path]:
    root = cache_folder() / _RESOLVED
    with cache_errors():
        root.mkdir(parents=True, exist_ok=True)
        with scratch_folder(root) as scratch:
            yield scratch
