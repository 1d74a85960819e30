"""What the user said of memory goes in; the bytes that models may take come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nosbuild.errors import InputError
from nosbuild.report.units import gibibytes as gibibytes
from nosbuild.store.limit import parse_size

_SHARE = 0.5
_CGROUP = Path("/sys/fs/cgroup")


def memory_budget(memory: str | int | None, say: Callable[[str], None]) -> int:
    """Bytes for models.

    Args:
        memory: ``4GiB``, or bytes; None: half of what is free now.
        say: told what that half is.

    Raises:
        InputError: it is no size.
    """
    if memory is None:
        budget = int(free_memory() * _SHARE)
        say(f"Models may take {gibibytes(budget)}: half of the memory that is free (--memory)")
        return budget
    budget = parse_size(memory) if isinstance(memory, str) else memory
    if isinstance(budget, bool) or budget <= 0:
        raise InputError(f"memory is {memory!r}, and must be above 0", "Write e.g. 4GiB.")
    return budget


def free_memory() -> int:
    """Bytes that this machine, or the container around us, could give now."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free  # no such limit here
    return free if limit == "max" else max(0, min(free, int(limit) - used))
