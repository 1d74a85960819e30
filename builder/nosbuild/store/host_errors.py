"""An OSError of writing goes in; a HostError with place, reason and remedy comes out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from nosbuild.errors import HostError
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder

FULL = "Free some space, then run the command again."
"""What helps where a disk is full."""
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
        reason = host_reason(exc) or str(exc)
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HostError(f"{found}: {reason}", FULL if full else remedy) from exc


def cache_errors() -> AbstractContextManager[None]:
    """The same for whatever is written to the cache folder."""
    return host_errors(
        f"the build cache {cache_folder()} cannot be written",
        f"Change its rights, or name another folder in {CACHE_VARIABLE}.",
    )


def host_reason(exc: OSError) -> str:
    """What the machine lacks, in words; empty for an error that is not the machine's."""
    return _REASONS.get(exc.errno, "")
