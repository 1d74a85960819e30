"""Bytes of main memory, and of the memory of each GPU, added up and compared as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

HOST = "host"
"""Main memory; a GPU is named by its number, ``"0"``."""


class Sizes(dict[str, int]):
    """Memory -> bytes; what is not named is 0. None of its methods changes it."""

    def __missing__(self, memory: str) -> int:
        return 0

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes({memory: self[memory] + other[memory] for memory in {**self, **other}})

    def __sub__(self, other: Sizes) -> Sizes:
        return Sizes({memory: self[memory] - other[memory] for memory in {**self, **other}})

    def times(self, number: int, of: int = 1) -> Sizes:
        """So many parts of ``of``, rounded up."""
        return Sizes({memory: -(-size * number // of) for memory, size in self.items()})

    def most(self, other: Sizes) -> Sizes:
        """The larger of the two, in each memory."""
        return Sizes({memory: max(self[memory], other[memory]) for memory in {**self, **other}})

    def of(self, memories: Iterable[str]) -> Sizes:
        """In these memories only."""
        return Sizes({memory: self[memory] for memory in memories})

    def fits(self, free: Sizes) -> bool:
        """Whether that much is free, in all that ``free`` names: others have no budget."""
        return all(self[memory] <= free[memory] for memory in free if self[memory] > 0)

    def lacking(self) -> Sizes:
        """What is more than nothing of it."""
        return Sizes({memory: size for memory, size in self.items() if size > 0})

    def __bool__(self) -> bool:
        return any(self.values())


def total(sizes: Iterable[Sizes]) -> Sizes:
    """The sum of them."""
    result = Sizes()
    for one in sizes:
        result = result + one
    return result


def host(size: int) -> Sizes:
    """So many bytes of main memory."""
    return Sizes({HOST: size})


def told(sizes: Sizes) -> dict[str, Any]:
    """As answers tell it: bytes of main memory, and of the GPUs where there are some."""
    gpus = {memory: size for memory, size in sizes.items() if memory != HOST and size}
    return {"bytes": sizes[HOST], **({"gpu_bytes": gpus} if gpus else {})}


def read(data: Mapping[str, Any]) -> Sizes:
    """What ``told`` told."""
    gpus = {str(number): int(size) for number, size in (data.get("gpu_bytes") or {}).items()}
    return Sizes({HOST: int(data.get("bytes") or 0), **gpus}).lacking()


def shown(sizes: Sizes) -> str:
    """For people: ``1.50 GiB``, ``64.0 MiB and 3.00 GiB of GPU 0``."""
    gpus = [
        f"{_shown(size)} of GPU {memory}"
        for memory, size in sorted(sizes.items())
        if memory != HOST and size
    ]
    own = [_shown(sizes[HOST])] if sizes[HOST] or not gpus else []
    return " and ".join(own + gpus)


def _shown(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
