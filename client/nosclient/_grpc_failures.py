"""What gRPC's own library says, with a status that Triton and its models use as well.

Nothing but the text tells them apart: neither carries metadata of its own.
"""

from __future__ import annotations

import re

from nosclient._call import Call
from nosclient._errors import NosClientError, ServerError, ServerUnavailable

CUT_OFF = "Internal error from Core"
"""gRPC's asyncio: the server ended a stream while the request was written; why it did is lost."""

_STATUSES = frozenset({"INTERNAL", "UNKNOWN", "CANCELLED", "UNIMPLEMENTED"})
# As its releases word it, from the beginning of the text on.
_BROKEN_OFF = re.compile(r"Stream removed|(Received )?RST_STREAM|Data frame with END_STREAM", re.I)
_HTTP_STATUS = re.compile(r"Received http2? (header with )?status: ?(?P<status>\d+)", re.I)
_UNREADABLE = re.compile(r"Exception deserializing response|Compression bit set", re.I)
_UNSENDABLE = re.compile(r"Exception serializing request", re.I)


def grpc_failure(status: str, message: str, call: Call, url: str) -> NosClientError | None:
    """Our error for a failure of gRPC's own; None for what the server, or a model, says.

    Args:
        status: gRPC's, by name.
        message: its details.
        call: what was being done.
        url: where.
    """
    if status not in _STATUSES:
        return None
    what = f"{call.method} of {call.model!r}" if call.model else call.method
    if message == CUT_OFF and call.method == "stream_infer":
        return ServerUnavailable(
            f"{url} ended {what} before it had taken the request: is this client let in there?",
            was_sent=False,
            is_lost=False,
        )
    if message == CUT_OFF or _BROKEN_OFF.match(message):
        return ServerUnavailable(f"{url} broke off {what} without an answer: {message}")
    if found := _HTTP_STATUS.match(message):
        text = (
            f"{url} answered {what} with HTTP {found['status']} in place of gRPC: is this the "
            "server's own gRPC port, and does a proxy before it pass gRPC on?"
        )
        if found["status"].startswith("5"):
            return ServerUnavailable(text, is_lost=False)
        return ServerError(text)
    if _UNREADABLE.match(message):
        return unreadable(call, url, message)
    if _UNSENDABLE.match(message):
        return ServerError(f"gRPC could not send {what} to {url}: {message}")
    return None


def unreadable(call: Call, url: str, reason: str) -> ServerError:
    """For an answer that is none of Triton's messages."""
    what = f"{call.method} of {call.model!r}" if call.model else call.method
    return ServerError(
        f"{url} answered {what} with what no Triton server says ({reason}); is this its address, "
        "and does all between pass its answers on as they are?"
    )
