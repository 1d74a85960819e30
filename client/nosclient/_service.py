"""Questions about the server as a whole, as generators that yield calls: is it there, what is it.

No socket and no event loop here, as in ``_operations.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nosclient._call import Call, Deadline, Operation, Pause
from nosclient._errors import (
    DeadlineExceeded,
    ModelNotFound,
    ModelNotReady,
    ServerUnavailable,
)

_POLL_SECONDS = 0.1
PROBE_SECONDS = 2.0
"""Longest time for a question about a failure: it must not outlast the patience of the caller."""
NOT_YET = (ServerUnavailable, DeadlineExceeded, ModelNotFound, ModelNotReady)
"""Answers that mean no for now."""


@dataclass(frozen=True)
class ServiceInfo:
    """What a server says of itself."""

    name: str
    """``triton``, as a rule."""
    version: str
    """Triton's, such as ``2.51.0``; a release of the container has another (24.10)."""
    extensions: tuple[str, ...]
    """Of the KServe v2 protocol: ``model_repository``, ``statistics``, ``trace`` ..."""


def get_service_info(limit: Deadline) -> Operation[ServiceInfo]:
    """The server's metadata."""
    answer: Mapping[str, Any] = yield Call("get_server_metadata", limit.remaining())
    return ServiceInfo(
        answer.get("name", ""), answer.get("version", ""), tuple(answer.get("extensions", ()))
    )


def is_healthy(limit: Deadline) -> Operation[bool]:
    """Whether the server answers, whatever the state of its models."""
    try:
        return (yield from _live(limit.remaining()))
    except NOT_YET:
        return False


def wait_for_server(timeout: float) -> Operation[None]:
    """Ask until the server answers.

    Raises:
        DeadlineExceeded: it does not after ``timeout`` seconds; says why.
    """
    return (yield from wait(timeout, "the server", _live))


def wait(
    timeout: float,
    what: str,
    question: Callable[[float | None], Operation[bool]],
    why: Callable[[], Operation[str]] | None = None,
) -> Operation[None]:
    """Ask the question until its answer is yes.

    Args:
        timeout: seconds.
        what: that is waited for, in words.
        question: given the seconds that it may take.
        why: asked for the reason when the time is up, and the last answer was a plain no.

    Raises:
        DeadlineExceeded: still no after ``timeout`` seconds; says why.
    """
    limit = Deadline(timeout)
    while True:
        remaining = limit.remaining()
        is_last = remaining is not None and remaining <= _POLL_SECONDS
        reason = "it is not ready"
        try:
            patience = PROBE_SECONDS if remaining is None else min(PROBE_SECONDS, remaining)
            if (yield from question(patience)):
                return
        except NOT_YET as error:
            reason = error.message
        else:
            if why is not None and is_last:
                reason = yield from why()
        if is_last:
            raise DeadlineExceeded(f"waited {timeout:g} s for {what}: {reason}")
        yield Pause(_POLL_SECONDS)


def _live(timeout: float | None) -> Operation[bool]:
    live: bool = yield Call("is_server_live", timeout)
    return live
