"""A served version and its nos.lock go in; every difference from what was proven comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import CONFIG, GOLDEN, LOCK
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.repository.python_config import PYTHON
from nosbuild.store.hashing import sha256_of_file


@dataclass(frozen=True)
class Difference:
    """One thing about a version that is not as it was proven."""

    file: Path
    message: str
    remedy: str = ""
    """Where something else helps than building again."""


def differences(version: Path, served: Iterable[str], backend: str) -> Iterator[Difference]:
    """Compare a version folder with its lock; the digest of every file is taken anew.

    A version made by hand has no lock, and no proof to hold it to.

    Args:
        version: the folder.
        served: names of the files in it that the config.pbtxt makes Triton load.
        backend: the backend that the config.pbtxt names.
    """
    path = version / LOCK
    if not path.exists():
        if (version / GOLDEN).exists():
            yield Difference(
                path, "is missing, though a build made this version: nothing holds it to its proof"
            )
        return
    try:
        lock = read_lock(path)
    except RepositoryError as exc:
        yield Difference(path, exc.message, exc.remedy)
        return
    if backend != lock.backend:
        yield Difference(
            version.parent / CONFIG, f"names the backend {backend!r}, proven was {lock.backend!r}"
        )
    yield from _files(version, lock, list(served))
    if lock.backend == PYTHON:
        yield from _strangers(version, lock)


def _strangers(version: Path, lock: Lock) -> Iterator[Difference]:
    """Files that Python might import in place of those that were proven."""
    for folder in {Path(name).parts[0] for name in lock.artifact if "/" in name}:
        for file in sorted((version / folder).rglob("*")):
            name = file.relative_to(version).as_posix()
            if file.is_file() and name not in lock.artifact and "__pycache__" not in file.parts:
                yield Difference(file, "was not there when the model was proven", f"Remove {file}.")


def _files(version: Path, lock: Lock, served: list[str]) -> Iterator[Difference]:
    for name, digest in lock.artifact.items():
        file = version / name
        if not file.is_file():
            if name not in served:  # otherwise said already
                yield Difference(file, "is missing; it was proven with it")
        elif sha256_of_file(file) != digest:
            yield Difference(file, "is not the file that was proven: its sha256 differs")
    for name in served:
        if name not in lock.artifact and (version / name).exists():
            proven = ", ".join(sorted(lock.artifact))
            yield Difference(
                version / name,
                f"is what config.pbtxt names, but not what was proven, which is {proven}",
            )


def engine_refusal(version: Path) -> str:
    """Why this machine cannot run the version's TensorRT engine; empty where it can, or where it
    has none.
    """
    path = version / LOCK
    try:
        lock = read_lock(path) if path.exists() else None
    except RepositoryError:
        return ""  # told by differences()
    if lock is None or lock.backend != "tensorrt":
        return ""
    from nosbuild.optimize.tensorrt.serving import check_engine
    from nosbuild.plan import host_facts

    return check_engine(lock.details, host_facts()) or ""
