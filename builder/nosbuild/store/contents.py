"""The build cache goes in; a line about each of its entries comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nosbuild.store.hashing import sha256_of_file
from nosbuild.store.in_use import unused
from nosbuild.store.record import RECORD, read_record


@dataclass(frozen=True)
class StoredStep:
    """One entry of the build cache."""

    key: str
    step: str
    """Empty where an older version made the entry, or it is broken."""
    model: str
    """Of the model that made it; others may use it too."""
    bytes: int
    last_used: float
    """Seconds since the epoch."""
    in_use: bool
    """By a build that runs now."""
    problem: str
    """Why no build can use it; empty where nothing is wrong."""


def stored_steps(root: Path, *, verify: bool = False) -> list[StoredStep]:
    """Every entry, the last used first.

    Args:
        root: the folder of the entries; need not exist.
        verify: read every file again and compare it with its digest; otherwise only whether it is
            there.
    """
    found = [step for folder in _folders(root) if (step := _described(folder, verify))]
    return sorted(found, key=lambda step: step.last_used, reverse=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; those that go away meanwhile do not count."""
    return sum(_bytes(file) for file in (path, *path.rglob("*")))


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_symlink() or path.is_file() else 0
    except FileNotFoundError:
        return 0


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (
            path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
        )


def _described(folder: Path, verify: bool) -> StoredStep | None:
    record = folder / RECORD
    about: dict[str, str] = {}
    try:
        content = read_record(folder)
        about = content.about
        problem = _problem(folder, content.files, verify)
    except (OSError, ValueError) as exc:
        problem = f"{RECORD} is unreadable ({exc})"
    try:
        last_used = (record if record.exists() else folder).stat().st_mtime
    except FileNotFoundError:
        return None  # removed meanwhile
    with unused(record) as free:
        in_use = record.exists() and not free
    return StoredStep(
        key=folder.name,
        step=about.get("step", ""),
        model=about.get("model", ""),
        bytes=size_of(folder),
        last_used=last_used,
        in_use=in_use,
        problem=problem,
    )


def _problem(folder: Path, files: dict[str, str], verify: bool) -> str:
    for name, digest in files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if verify and sha256_of_file(folder / name) != digest:
            return f"{name} is corrupt"
    return ""
