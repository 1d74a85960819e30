"""The build cache and a limit go in; what had not been used for longest goes until it is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nosbuild.store.contents import StoredStep, stored_steps
from nosbuild.store.host_errors import cache_errors
from nosbuild.store.in_use import unused
from nosbuild.store.record import RECORD
from nosbuild.store.scratch import remove_abandoned
from nosbuild.store.store import remove_entry


@dataclass(frozen=True)
class Trimmed:
    """What a trim did."""

    removed: tuple[StoredStep, ...]
    """Broken entries first, then the least recently used."""
    kept: tuple[StoredStep, ...]
    """The last used first."""

    @property
    def kept_bytes(self) -> int:
        """Size of what is left."""
        return sum(step.bytes for step in self.kept)


def trim(
    root: Path,
    limit: int | None,
    *,
    older_than: float | None = None,
    verify: bool = False,
    dry_run: bool = False,
) -> Trimmed:
    """Remove what is broken, what is too old, and then the least recently used down to a limit.

    What a running build uses stays, whatever the limit, and so do entries of other users.

    Args:
        root: the folder of the entries; need not exist.
        limit: bytes that they may take together; None for any number.
        older_than: seconds since the last use beyond which an entry goes in any case.
        verify: also look for files whose bytes have changed.
        dry_run: remove nothing, only tell.

    Raises:
        HostError: an entry cannot be removed.
    """
    if not root.is_dir():
        return Trimmed((), ())
    oldest = 0.0 if older_than is None else time.time() - older_than
    steps = stored_steps(root, verify=verify)
    broken = [step for step in steps if step.problem]
    by_age = [step for step in reversed(steps) if not step.problem]
    left = sum(step.bytes for step in steps)
    removed = []
    with cache_errors():
        if not dry_run:
            remove_abandoned(root)
        for step in broken + by_age:
            goes = step.problem or step.last_used < oldest or (limit is not None and left > limit)
            if goes and not step.in_use and (dry_run or _remove(root / step.key)):
                removed.append(step)
                left -= step.bytes
    gone = {step.key for step in removed}
    return Trimmed(tuple(removed), tuple(step for step in steps if step.key not in gone))


def _remove(entry: Path) -> bool:
    with _nobody_uses(entry) as free:
        try:
            if free:
                remove_entry(entry)
        except PermissionError:
            return False  # in a cache that several users share
    return free


@contextmanager
def _nobody_uses(entry: Path) -> Iterator[bool]:
    record = entry / RECORD
    if not record.exists():
        yield True  # no build can use it
        return
    with unused(record) as free:
        yield free
