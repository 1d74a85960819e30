"""The one boundary where the libraries' exceptions become ours; their messages are kept."""

from __future__ import annotations

import re
from http.client import BadStatusLine, RemoteDisconnected
from typing import Any

from nosclient._call import Call
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    ServerUnavailable,
)

# Triton's own codes as it sends them: INVALID_ARG -> INVALID_ARGUMENT/400, NOT_FOUND -> 404,
# UNAVAILABLE -> 503, UNSUPPORTED -> UNIMPLEMENTED/501, INTERNAL -> 500, CANCELLED -> 499;
# ALREADY_EXISTS and UNKNOWN -> 400 over HTTP. The other rows come from gRPC and from proxies.
GRPC: dict[str, type[NosClientError]] = {
    "CANCELLED": ServerError,
    "UNKNOWN": ServerError,
    "INVALID_ARGUMENT": InvalidInput,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": ModelNotFound,
    "ALREADY_EXISTS": ServerError,
    "PERMISSION_DENIED": ServerError,
    "RESOURCE_EXHAUSTED": ServerError,
    "FAILED_PRECONDITION": ServerError,
    "ABORTED": ServerError,
    "OUT_OF_RANGE": ServerError,
    "UNIMPLEMENTED": ServerError,
    "INTERNAL": ServerError,
    # Also what Triton sends when a queue is full: _operations.py asks who spoke.
    "UNAVAILABLE": ServerUnavailable,
    "DATA_LOSS": ServerError,
    "UNAUTHENTICATED": ServerError,
}
"""gRPC status -> error, for every code but OK."""

HTTP: dict[str, type[NosClientError]] = {
    "400": InvalidInput,
    "404": ModelNotFound,
    "408": DeadlineExceeded,
    "413": InvalidInput,
    "429": ModelNotReady,
    "500": ServerError,
    "501": ServerError,
    "502": ServerUnavailable,
    "503": ModelNotReady,
    "504": DeadlineExceeded,
}
"""HTTP status -> error; any other is a ServerError."""

# Statuses by which a model itself, as opposed to the server or a proxy, reports a failure.
_MODEL_FAILED = frozenset(
    {"INTERNAL", "UNKNOWN", "ALREADY_EXISTS", "UNIMPLEMENTED", "CANCELLED", "500", "501", "499"}
)

_DEAD_WORKER = re.compile(r"Stub process '(?P<model>[^']+)_\d+_\d+' is not healthy")
"""Triton's words where the process that ran a Python-based model has ended; it starts no other."""

_NOT_POLLED = "failed to poll from model repository"
_NOT_THERE = (
    "; its repository has no such model, or one that is not built or has a config.pbtxt that "
    "cannot be read (the server's log says which)"
)

# Somebody takes the connection and closes it at the first word of gRPC.
_CONNECTED_IN_VAIN = ("failed to connect", "Socket closed")


def translate(error: BaseException, call: Call, url: str) -> NosClientError:
    """Our error for one that came out of tritonclient, a socket or an HTTP library.

    Args:
        error: an InferenceServerException, a timeout, or an error of the connection.
        call: what was being done; a failure means something else while loading a model.
        url: where it was done, for the message.
    """
    from tritonclient.utils import InferenceServerException

    if isinstance(error, InferenceServerException):
        return _from_server(error, call, url)
    if is_timeout(error):
        return _deadline(call, url)
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        # Its text is the start of the answer: binary where gRPC speaks.
        start = str(error).strip()
        said = f" but says {start[:60]!r}" if start.isprintable() else ""
        return ServerUnavailable(_other_protocol(url, f"HTTP{said}", "a gRPC port", "grpc"))
    reason = str(error) or type(error).__name__
    return ServerUnavailable(_unreachable(url, reason))


def is_timeout(error: BaseException) -> bool:
    """True for our own time limit running out, not for the kernel's ETIMEDOUT."""
    import asyncio  # its TimeoutError is the built-in one only from Python 3.11 on

    if isinstance(error, asyncio.TimeoutError):
        return getattr(error, "errno", None) is None
    return isinstance(error, TimeoutError) and error.errno is None


def _from_server(error: Any, call: Call, url: str) -> NosClientError:
    message = str(error.message() or type(error).__name__).strip()
    if error.status() is None:
        # tritonclient refused it before anything was sent: a reserved parameter, for example.
        return InvalidInput(message)
    status = str(error.status()).removeprefix("StatusCode.")
    kind = GRPC.get(status) or HTTP.get(status, ServerError)
    if kind is DeadlineExceeded:
        return _deadline(call, url)
    if kind is ServerUnavailable:
        if all(sign in message for sign in _CONNECTED_IN_VAIN):
            return ServerUnavailable(_other_protocol(url, "gRPC", "an HTTP port", "http"))
        return ServerUnavailable(_unreachable(url, message))
    if call.method == "load_model" and kind in (InvalidInput, ServerError, ModelNotFound):
        why = _NOT_THERE if _NOT_POLLED in message else ""
        return ModelLoadFailed(f"model {call.model!r} could not be loaded: {message}{why}")
    if call.method in ("infer", "stream_infer") and status in _MODEL_FAILED:
        return inference_failed(call.model, message)
    if kind is ServerError:
        return ServerError(f"{url} answered {call.method} with {status}: {message}")
    return kind(message)


def inference_failed(model: str, message: str) -> InferenceFailed:
    """The model's failure, and what helps where its worker process is gone.

    Args:
        model: that was called; an ensemble's dead member is named by the message.
        message: the server's.
    """
    if dead := _DEAD_WORKER.search(message):
        ended = dead["model"]
        message = (
            f"{message.rstrip('.')}: the worker process of {ended!r} has ended, and Triton starts "
            f"no other by itself; unload_model({ended!r}) and then load_model({ended!r}) do"
        )
    return InferenceFailed(f"model {model!r} failed: {message}")


def _deadline(call: Call, url: str) -> DeadlineExceeded:
    if call.method == "stream_infer":
        return DeadlineExceeded(
            f"the stream of {call.model!r} from {url} had not ended by the deadline, which is for "
            'the whole of it; allow more with deadline=seconds, or float("inf")'
        )
    about = f"{call.method} of {call.model!r}" if call.model else call.method
    return DeadlineExceeded(
        f"no answer to {about} from {url} before the deadline; allow more with deadline=seconds"
    )


def _unreachable(url: str, reason: str) -> str:
    return f"no connection to {url} ({reason}); is the server running, and is this its port?"


def _other_protocol(url: str, spoken: str, port: str, scheme: str) -> str:
    other = f"{scheme}://{url.partition('://')[2]}"
    return f"what listens at {url} does not speak {spoken}; if it is {port}, write {other}"
