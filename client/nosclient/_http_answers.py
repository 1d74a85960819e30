"""A response goes in; what it says comes out: arrays, a yes or no, plain data, or an error.

Between a client and Triton there may be proxies, and at a wrong address anything at all. So what is
read later is checked here, where the response is still at hand to be shown.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from nosclient._call import Call
from nosclient._errors import NosClientError, ServerError, ServerUnavailable
from nosclient._http_connections import Reply
from nosclient._http_messages import HEADER_LENGTH, read_outputs
from nosclient._model_info import parse_index, parse_signature, parse_statistics
from nosclient._shared_with_server import names_of

_SHOWN = 100
_UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error, OverflowError),
    *(RecursionError, InferenceServerException),
)
"""What reading data of an unknown form ends in."""


def answer(reply: Reply, call: Call, url: str) -> Any:
    """What a response says.

    Raises:
        InferenceServerException: Triton's own refusal.
        ServerUnavailable, ServerError: what came is not Triton's.
    """
    is_question = call.method.startswith("is_")
    if is_question and reply.status in (400, 404, 503):
        return False
    if reply.status != 200:
        raise _refusal(reply, call, url)
    try:
        if call.method == "infer":
            return _outputs(reply, call)
        found = json.loads(reply.body) if reply.body else None
        if (check := _CHECKS.get(call.method)) is not None:
            check(found)
    except _UNREADABLE as error:
        raise ServerError(
            f"{url} answered {call.method} with what no Triton server says: {_start(reply)}; is "
            "this its address, and does all between pass its answers on as they are?"
        ) from error
    return is_question or found


def _outputs(reply: Reply, call: Call) -> Any:
    length = reply.headers.get(HEADER_LENGTH)
    result = triton.InferenceServerClient.parse_response_body(
        reply.body,
        header_length=None if length is None else int(length),
        content_encoding=reply.headers.get("Content-Encoding"),
    )
    return read_outputs(result, call.places)


def _index(found: Any) -> None:
    if not isinstance(found, list):
        raise TypeError("it is no list")
    parse_index(found)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "get_server_metadata": lambda found: found["name"] + found["version"],
    "get_model_metadata": lambda found: parse_signature(found, {}),
    "get_model_config": lambda found: parse_signature({"name": found["name"]}, found),
    "get_model_repository_index": _index,
    "get_inference_statistics": lambda found: parse_statistics(str(found["model_stats"]), found),
    "get_system_shared_memory_status": names_of,
    "get_cuda_shared_memory_status": names_of,
}
"""They fail where what is read of an answer later is not in it."""


def _refusal(reply: Reply, call: Call, url: str) -> InferenceServerException | NosClientError:
    try:
        message = str(json.loads(reply.body)["error"])
    except _UNREADABLE:  # not Triton's: a proxy's page, or an unknown path
        message = _start(reply)
        if reply.status == 503:
            return ServerUnavailable(f"{url} is unavailable (503): {message}", is_lost=False)
        if reply.status == 404:
            return ServerError(
                f"{url} answered {call.method} with 404: {message}; is this a Triton server's "
                "address, with all of its path?"
            )
    return InferenceServerException(message, status=str(reply.status))


def _start(reply: Reply) -> str:
    if not reply.body:
        return "an empty response"
    start = bytes(reply.body[:_SHOWN])
    text = " ".join(start.decode(errors="replace").split())
    more = "..." if len(reply.body) > _SHOWN else ""
    return (text if text.isprintable() else repr(start)) + more
