"""A folder to work in, gone with the block; one whose process was killed, gone with the next.

A scratch folder is held by a lock on a file in it, which the kernel lets go with the process. A
process id would not do: containers that share a cache know different ones.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

_PREFIX = ".scratch-"
_HELD = "held"


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder in ``root``; what killed processes left there is removed first."""
    remove_abandoned(root)
    folder, lock = _made(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def remove_abandoned(root: Path) -> None:
    """Remove what killed processes left in ``root``."""
    for left in root.glob(f"{_PREFIX}*"):
        _remove_unheld(left)


def _made(root: Path) -> tuple[Path, TextIOWrapper]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        lock = (folder / _HELD).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _HELD).exists():
            return folder, lock
        lock.close()  # another process took it, not yet locked, for one that was left


def _remove_unheld(folder: Path) -> None:
    try:
        lock = (folder / _HELD).open("r+")
    except FileNotFoundError:
        return  # being made, or being removed, by its own process
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder, ignore_errors=True)
