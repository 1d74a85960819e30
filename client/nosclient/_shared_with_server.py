"""Regions that a server maps: named, and given back; as generators that yield calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nosclient._call import Call, Deadline, Operation, Pause, RegionCall
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelNotFound,
    ModelNotReady,
    ServerError,
    Unauthorized,
)
from nosclient._shared_region import abandoned

TRIES, _AGAIN_SECONDS = 10, 0.02
IN_USE = "in use"
"""In Triton's refusal to forget a region that a request uses."""
ANSWERED = (
    *(InvalidInput, ModelNotFound, ModelNotReady, InferenceFailed, ServerError),
    *(Unauthorized, MessageTooLarge),
)
"""Errors that the server sent itself: it is done with the request."""


def unregister(name: str, limit: Deadline) -> Operation[None]:
    """Let the server forget a region."""
    region = RegionCall(name)
    yield Call("unregister_system_shared_memory", limit.remaining(), region=region)


def clear(names: Sequence[str], limit: Deadline, tries: int = 1) -> Operation[None]:
    """Let the server give back what it can; what it uses is tried again, if that is wanted."""
    while names:
        used = []
        for name in names:
            try:
                yield from unregister(name, limit)
            except ANSWERED as error:  # another client was quicker, but for:
                if IN_USE in error.message:
                    used.append(name)
                    continue
            abandoned.discard(name)
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
