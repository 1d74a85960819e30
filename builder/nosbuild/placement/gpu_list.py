"""``2x80GiB,1x24GiB`` goes in; the GPUs of a server come out, numbered as written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nosbuild.errors import HostError, InputError
from nosbuild.store.limit import parse_size

HERE = "here"
"""Stands for the GPUs of this machine."""
_MOST = 1024
_REMEDY = f"Write e.g. 80GiB, 4x80GiB or 2x80GiB,1x24GiB; {HERE}: the GPUs of this machine."


@dataclass(frozen=True)
class GpuSize:
    """One GPU."""

    index: int
    """Its number in ``instance_group``'s ``gpus``."""
    size: int
    """Bytes of its memory."""


def parse_gpus(text: str) -> tuple[GpuSize, ...]:
    """Read ``--gpus``.

    Raises:
        InputError: it says something else.
        HostError: this machine's GPUs are meant, and it has none.
    """
    if text.strip().lower() == HERE:
        return _here()
    sizes: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(?:(\d+)\s*[xX×*]\s*)?(\S.*?)\s*", part)
        if not found:
            raise InputError(f"--gpus: {text!r} names no GPUs", _REMEDY)
        count = int(found[1] or 1)
        try:
            size = parse_size(found[2])
        except InputError as exc:
            raise InputError(f"--gpus: {part.strip()!r}: {exc.message}", _REMEDY) from exc
        if not count or size <= 0:
            raise InputError(f"--gpus: {part.strip()!r} is no GPU", _REMEDY)
        if len(sizes) + count > _MOST:
            raise InputError(f"--gpus: more than {_MOST} GPUs in one server", _REMEDY)
        sizes += [size] * count
    return tuple(GpuSize(index, size) for index, size in enumerate(sizes))


def _here() -> tuple[GpuSize, ...]:
    from nosbuild.plan.gpus import NoGpu, gpus

    found = gpus()
    if isinstance(found, NoGpu):
        raise HostError(f"--gpus {HERE}: {found.reason}", _REMEDY)
    return tuple(GpuSize(gpu.index, gpu.memory_bytes) for gpu in found)
