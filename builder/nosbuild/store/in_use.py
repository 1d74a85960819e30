"""A file goes in; a lock that says it is in use, or that it is not, comes out.

The kernel lets such a lock go with its process, however that ends. What the file belongs to is
removed only by who found it unused, so a build keeps what it works with.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def use(file: Path) -> int | None:
    """Keep the file in use until the descriptor returned is closed; None where it is not there.

    Waits while another process removes it; OSError where it cannot be opened.
    """
    while True:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_still(file, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed or replaced while we waited


@contextmanager
def unused(file: Path) -> Iterator[bool]:
    """Whether nobody uses the file; where so, nobody can begin to while the block lasts.

    False as well where it is gone, or may not be read.
    """
    try:
        descriptor = _opened(file)
    except OSError:
        yield False
        return
    try:
        yield _is_free(descriptor) and _is_still(file, descriptor)
    finally:
        os.close(descriptor)


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR)  # NFS locks only what is open for writing
    except OSError:
        return os.open(file, os.O_RDONLY)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(file: Path, descriptor: int) -> bool:
    """Whether the open file is the one that bears the name now."""
    try:
        named = file.stat()
    except OSError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
