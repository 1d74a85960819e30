"""Regions that a server maps: named, and given back; as generators that yield calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nosclient._call import Call, Deadline, Method, Operation, Pause, RegionCall
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelNotFound,
    ModelNotReady,
    ServerError,
    Unauthorized,
)
from nosclient._shared_region import KindName, Region, abandoned

TRIES, _AGAIN_SECONDS = 10, 0.02
IN_USE = "in use"
"""In Triton's refusal to forget a region that a request uses."""
ANSWERED = (
    *(InvalidInput, ModelNotFound, ModelNotReady, InferenceFailed, ServerError),
    *(Unauthorized, MessageTooLarge),
)
"""Errors that the server sent itself: it is done with the request."""


class Methods(NamedTuple):
    """What a server is asked about one kind of memory."""

    status: Method
    register: Method
    unregister: Method


METHODS: dict[KindName, Methods] = {
    "system": Methods(
        "get_system_shared_memory_status",
        "register_system_shared_memory",
        "unregister_system_shared_memory",
    ),
    "cuda": Methods(
        "get_cuda_shared_memory_status",
        "register_cuda_shared_memory",
        "unregister_cuda_shared_memory",
    ),
}


def register(region: Region, limit: Deadline) -> Operation[None]:
    """Let the server map a region."""
    shared = RegionCall(region.name, size=region.size, **region.registration())
    yield Call(METHODS[region.kind].register, limit.remaining(), region=shared)


def unregister(kind: KindName, name: str, limit: Deadline) -> Operation[None]:
    """Let the server forget a region."""
    yield Call(METHODS[kind].unregister, limit.remaining(), region=RegionCall(name))


def clear(kind: KindName, names: Sequence[str], limit: Deadline, tries: int = 1) -> Operation[None]:
    """Let the server give back what it can; what it uses is tried again, if that is wanted."""
    while names:
        used = []
        for name in names:
            try:
                yield from unregister(kind, name, limit)
            except ANSWERED as error:  # another client was quicker, but for:
                if IN_USE in error.message:
                    used.append(name)
                    continue
            abandoned.pop(name, None)
        names, tries = used, tries - 1
        if tries <= 0:
            return
        # Triton lets go of a region a little after it has sent the answer.
        yield Pause(_AGAIN_SECONDS)


def names_of(status: Any) -> list[str]:
    """Of the regions in the server's answer: a list over HTTP, a mapping over gRPC."""
    regions = status.get("regions", {}) if isinstance(status, dict) else status
    return [
        str(row["name"]) for row in (regions.values() if isinstance(regions, dict) else regions)
    ]
