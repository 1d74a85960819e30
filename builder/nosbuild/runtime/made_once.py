"""A folder that exists whole or not at all, however many processes make it at once."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from nosbuild.errors import HostError
from nosbuild.store.folders import CACHE_VARIABLE


def made_once(
    folder: Path, make: Callable[[Path], None], on_progress: Callable[[str], None]
) -> Path:
    """``folder``, made by ``make`` if it is not there yet.

    ``make`` fills a temporary sibling, which is then renamed: the rename is the completion, so a
    killed process leaves nothing that is used. Processes that come meanwhile wait and reuse.

    Raises:
        HostError: the folder cannot be written, or the disk is full.
    """
    if folder.is_dir():
        return folder
    from filelock import FileLock, Timeout

    try:
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
    except OSError as error:
        raise HostError(
            f"{folder} cannot be made: {error}",
            "Free some disk space."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else f"Make the folder writable, or set {CACHE_VARIABLE} to one that is.",
        ) from error
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    # The lock is ours, so whatever lies here was left by a process that died.
    for stale in folder.parent.glob(f"{folder.name}.making-*"):
        shutil.rmtree(stale)
    making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.making-", dir=folder.parent))
    try:
        making.chmod(0o755)
        make(making)
        making.rename(folder)
    finally:
        if making.exists():
            shutil.rmtree(making)
