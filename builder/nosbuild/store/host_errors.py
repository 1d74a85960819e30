"""An OSError of writing goes in; a HostError with place, reason and remedy comes out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from nosbuild.errors import HostError

_FULL = "Free some space and build again."
_REASONS: dict[int | None, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
}


@contextmanager
def host_errors(found: str, remedy: str) -> Iterator[None]:
    """Turn an OSError of the block into a HostError.

    Args:
        found: what could not be done and what that means, a sentence without its reason.
        remedy: what helps where the place itself is the trouble; a full disk has its own.
    """
    try:
        yield
    except OSError as exc:
        reason = _REASONS.get(exc.errno, str(exc))
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HostError(f"{found}: {reason}", _FULL if full else remedy) from exc
