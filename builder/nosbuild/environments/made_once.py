"""A folder that exists whole or not at all, however many processes make it at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nosbuild.store.folders import CACHE_VARIABLE, cache_folder
from nosbuild.store.host_errors import host_errors
from nosbuild.store.in_use import unused, use
from nosbuild.store.scratch import scratch_folder

USED = ".used"
"""File in the folder: locked by every process that uses the folder, changed at each use."""

_HELD: dict[Path, int] = {}
"""Folder -> descriptor that keeps it in use, for as long as this process lives: so does what it
starts from there."""

_MAKING = ".making-"


def made_once(
    folder: Path, make: Callable[[Path], None], on_progress: Callable[[str], None]
) -> Path:
    """``folder``, made by ``make`` if it is not there yet.

    ``make`` fills a temporary sibling, which is then renamed: the rename is the completion, so a
    killed process leaves nothing that is used. Processes that come meanwhile wait and reuse. From
    then on nobody removes it (``store.in_use``) until this process ends.

    Raises:
        HostError: the folder cannot be written, or the disk is full.
    """
    with host_errors(
        f"{folder} cannot be made",
        f"Make the folder writable, or set {CACHE_VARIABLE} to one that is.",
    ):
        while not _is_used(folder):
            _make_alone(folder, make, on_progress)
    return folder


def remove_made(folder: Path) -> bool:
    """Remove what ``made_once`` made, unless somebody uses it: False then.

    Raises:
        OSError: it cannot be removed.
    """
    with unused(folder / USED) as free:
        if (folder / USED).exists() and not free:
            return False
        with scratch_folder(folder.parent) as away:  # nobody may find half of it
            folder.replace(away / "gone")
    # What its Python compiled lies below the folder's own name.
    shutil.rmtree(cache_folder() / "pycache" / os.fspath(folder).lstrip("/"), ignore_errors=True)
    return True


def remove_half_made(parent: Path) -> None:
    """Remove what killed processes left of folders that they were making in ``parent``."""
    from filelock import FileLock, Timeout

    for left in parent.glob(f"*{_MAKING}*"):
        lock = FileLock(parent / f"{left.name.partition(_MAKING)[0]}.lock")
        with suppress(Timeout), lock.acquire(timeout=0):  # otherwise it is being made
            shutil.rmtree(left, ignore_errors=True)


def _is_used(folder: Path) -> bool:
    """Whether it is there, and in use by this process from now on."""
    if not folder.is_dir():
        return False
    # Where it cannot be written, nobody can remove it either.
    with suppress(OSError):
        (folder / USED).touch()
    descriptor = use(folder / USED)
    if descriptor is not None:
        earlier = _HELD.get(folder)
        _HELD[folder] = descriptor
        if earlier is not None:
            os.close(earlier)
    return folder.is_dir()  # it may have been removed while we waited


def _make_alone(
    folder: Path, make: Callable[[Path], None], on_progress: Callable[[str], None]
) -> None:
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f"{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_progress("Waiting for another nosbuild, which is making the same environment")
        lock.acquire()
    try:
        if not folder.is_dir():
            _make(folder, make)
    finally:
        lock.release()


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    # The lock is ours, so whatever lies here was left by a process that died.
    for stale in folder.parent.glob(f"{folder.name}{_MAKING}*"):
        shutil.rmtree(stale)
    making = Path(tempfile.mkdtemp(prefix=f"{folder.name}{_MAKING}", dir=folder.parent))
    try:
        making.chmod(0o755)
        make(making)
        (making / USED).touch()  # nobody may find it without: who removes it locks this file
        making.rename(folder)
    finally:
        if making.exists():
            shutil.rmtree(making)
