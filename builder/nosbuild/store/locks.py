"""A name or a file goes in; a lock that one process holds at a time comes out."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nosbuild.store.folders import locks_folder
from nosbuild.store.host_errors import cache_errors

_NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """Hold ``<cache folder>/locks/<name>.lock``; waits for whoever holds it.

    Raises:
        HostError: the cache folder cannot be written.
    """
    from filelock import FileLock

    with cache_errors():
        locks_folder().mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks_folder() / f"{name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def shared_lock(file: Path) -> Iterator[None]:
    """Hold a lock file that several users may want; waits for whoever holds it.

    A user who may not write there gets in without: nothing can be changed by them. OSError where
    the file cannot be made for another reason.
    """
    descriptor = _opened(file)
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(file: Path) -> int | None:
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):  # another user's file is read at least
        try:
            return os.open(file, flags, 0o666)
        except FileNotFoundError:
            break
        except OSError as exc:
            if exc.errno not in _NOT_OURS:
                raise
    return None
