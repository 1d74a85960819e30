"""What the user said of memory goes in; the bytes that models may take come out.

As ``sizes.read`` in ``inside_triton/model_manager/nos_model_manager`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    return budget_bytes(memory)


def budget_bytes(memory: str | int) -> int:
    """The same where it is said.

    Raises:
        InputError: it is no size.
    """
    budget = parse_size(memory) if isinstance(memory, str) else memory
    if isinstance(budget, bool) or budget <= 0:
        raise InputError(f"memory is {memory!r}, and must be above 0", "Write e.g. 4GiB.")
    return budget


def gpu_budgets(memory: str | Mapping[int, str | int] | None) -> dict[str, int]:
    """Bytes for models by the number of the GPU.

    Args:
        memory: ``0:20GiB,1:20GiB``, or a mapping; None: models may take what is there.

    Raises:
        InputError: it is no such thing.
    """
    if memory is None:
        return {}
    found: dict[str, int] = {}
    for number, size in _pairs(memory):
        gpu = number.strip()
        if not gpu.isdigit() or not size or str(int(gpu)) in found:
            raise InputError(
                f"gpu_memory is {memory!r}, and must be a size for each GPU",
                "Write e.g. 0:20GiB,1:20GiB.",
            )
        found[str(int(gpu))] = budget_bytes(size)
    return found


def _pairs(memory: str | Mapping[int, str | int]) -> list[tuple[str, str | int]]:
    if isinstance(memory, str):
        parts = [part.partition(":") for part in memory.split(",") if part.strip()]
        return [(number, size) for number, _, size in parts]
    return [(str(gpu), size) for gpu, size in memory.items()]


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
