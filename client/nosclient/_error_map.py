"""The one boundary where the libraries' exceptions become ours; their messages are kept."""

from __future__ import annotations

import re
from typing import Any

from nosclient._call import Call
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    ServerUnavailable,
    Unauthorized,
    WorkerEnded,
)
from nosclient._grpc_failures import grpc_failure
from nosclient._late_answers import is_timeout, too_late
from nosclient._model_info import MODEL_MANAGER
from nosclient._tls_failures import broken_handshake, tls_failure

# Those that are not in TRITON, below, come from gRPC itself and from proxies.
GRPC: dict[str, type[NosClientError]] = {
    "CANCELLED": ServerError,
    "UNKNOWN": ServerError,
    "INVALID_ARGUMENT": InvalidInput,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": ModelNotFound,
    "ALREADY_EXISTS": ServerError,
    "PERMISSION_DENIED": Unauthorized,
    # Or a message over a limit: the text tells.
    "RESOURCE_EXHAUSTED": ModelNotReady,
    "FAILED_PRECONDITION": ServerError,
    "ABORTED": ServerError,
    "OUT_OF_RANGE": ServerError,
    "UNIMPLEMENTED": ServerError,
    "INTERNAL": ServerError,
    # Also what Triton sends when a queue is full: _refusals.py asks who spoke.
    "UNAVAILABLE": ServerUnavailable,
    "DATA_LOSS": ServerError,
    "UNAUTHENTICATED": Unauthorized,
}
"""gRPC status -> error, for every code but OK."""

HTTP: dict[str, type[NosClientError]] = {
    "400": InvalidInput,
    "401": Unauthorized,
    "403": Unauthorized,
    "404": ModelNotFound,
    "405": ServerError,
    "407": Unauthorized,
    "408": DeadlineExceeded,
    "413": MessageTooLarge,
    "415": ServerError,
    "429": ModelNotReady,
    "499": ServerError,
    "500": ServerError,
    "501": ServerError,
    "502": ServerUnavailable,
    "503": ModelNotReady,
    "504": DeadlineExceeded,
}
"""HTTP status -> error: Triton's and those of proxies; any other is a ServerError."""

TRITON = {
    "UNKNOWN": ("UNKNOWN", "400"),
    "INTERNAL": ("INTERNAL", "500"),
    "NOT_FOUND": ("NOT_FOUND", "404"),
    "INVALID_ARG": ("INVALID_ARGUMENT", "400"),
    "UNAVAILABLE": ("UNAVAILABLE", "503"),
    "UNSUPPORTED": ("UNIMPLEMENTED", "501"),
    "ALREADY_EXISTS": ("ALREADY_EXISTS", "400"),
    "CANCELLED": ("CANCELLED", "400"),
}
"""Triton's own codes -> as gRPC and as HTTP carry them."""

# Statuses by which a model itself, as opposed to the server or a proxy, reports a failure.
_MODEL_FAILED = frozenset(
    {"INTERNAL", "UNKNOWN", "ALREADY_EXISTS", "UNIMPLEMENTED", "CANCELLED", "500", "501", "499"}
)

_DEAD_WORKER = re.compile(
    r"Stub process '(?P<model>[^']+?)(_\d+){1,2}' is not healthy|Failed to obtain the health mutex|"
    r"model '(?P<hung>[^']+)': no answer within .*, so its worker has ended"
)
"""Triton's words where the process that ran a Python-based model has ended, of whose instances'
names the second number may lack; and what a hung one says before (nosbuild's
execution_deadline.py). Triton starts no other.
"""

_NOT_POLLED = "failed to poll from model repository"
_NOT_THERE = (
    "; its repository has no such model, or one that is not built or has a config.pbtxt that "
    "cannot be read (the server's log says which)"
)

# Somebody takes the connection and closes it at the first word of gRPC.
_CONNECTED_IN_VAIN = ("failed to connect", "Socket closed")
# gRPC's own words in an UNAVAILABLE, as opposed to a server's.
_NEVER_SENT = re.compile(
    r"failed to connect|connections to all backends failing|resolution failed|resolver",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"socket closed|connection reset|broken pipe|goaway|connection closed|stream removed|"
    r"recvmsg|sendmsg|end of (file|tcp stream)|\beof\b|transport (is )?clos|endpoint clos|"
    r"cancelling all calls|connection (timed out|refused|aborted)|keepalive|ping timeout|"
    r"rst_stream",
    re.IGNORECASE,
)

# Triton's words for what shares a status with something else.
_QUEUE_FULL = "maximum queue size"
_QUEUED_TOO_LONG = "timeout expired"
_RESTRICTED = re.compile(r"is restricted, expecting header '(?:triton-grpc-protocol-)?([^']*)'")
_VERSION_GONE = re.compile(r"Request for unknown model: .* is not at ready state")
_STOPPING = re.compile(r"server (is stopping|is exiting|not ready)", re.IGNORECASE)
_BROKEN_OFF = re.compile(r"reset by peer|EOF occurred|disconnected|\[None\]", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"(?P<way>received|sent|attempted to send|trying to send).*larger than", re.I
)


class NotConnected(OSError):
    """No connection came about, so that nothing was sent; its cause tells why."""


def translate(error: BaseException, call: Call, url: str) -> NosClientError:
    """Our error for one that came out of tritonclient, a socket or an HTTP library.

    Args:
        error: an InferenceServerException, a timeout, or an error of the connection.
        call: what was being done; a failure means something else while loading a model.
        url: where it was done, for the message.
    """
    from http.client import BadStatusLine, RemoteDisconnected

    from tritonclient.utils import InferenceServerException

    if isinstance(error, InferenceServerException):
        return _from_server(error, call, url)
    if is_timeout(error):
        return too_late(call, url)
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        # Its text is the start of the answer: binary where gRPC speaks.
        start = str(error).strip()
        said = f" but says {start[:60]!r}" if start.isprintable() else ""
        return ServerUnavailable(_other_protocol(url, f"HTTP{said}", "a gRPC port", "grpc"))
    reason = str(error) or type(error).__name__
    if refused := _of_tls(reason, url):
        return refused
    was_sent = _may_be_sent(error)
    if url.startswith("https://") and _BROKEN_OFF.search(reason):
        return ServerUnavailable(broken_handshake(reason, url), was_sent=was_sent)
    return ServerUnavailable(_unreachable(url, reason), was_sent=was_sent)


def is_restricted(message: str) -> bool:
    """Whether Triton says that it wants a key."""
    return _RESTRICTED.search(message) is not None


def is_version_gone(message: str) -> bool:
    """Whether Triton says that a version, or all of a model, was ready once and is not now."""
    return _VERSION_GONE.match(message) is not None


def _from_server(error: Any, call: Call, url: str) -> NosClientError:
    message = str(error.message() or type(error).__name__).strip()
    if error.status() is None:
        # tritonclient refused it before anything was sent: a reserved parameter, for example.
        return InvalidInput(message)
    status = str(error.status()).removeprefix("StatusCode.")
    kind = GRPC.get(status) or HTTP.get(status, ServerError)
    if kind is DeadlineExceeded:
        return too_late(call, url)
    if own := grpc_failure(status, message, call, url):
        return own
    if restricted := _RESTRICTED.search(message):
        return Unauthorized(_no_entry(call, url, restricted[1]))
    if kind is Unauthorized:
        return Unauthorized(_not_let_in(call, url, f"{status}: {message}"))
    if status in ("UNAVAILABLE", "503") and (known := _unavailable(message, call, url)):
        return known
    if kind is ServerUnavailable:
        lost = _lost(message, url)
        is_answer = isinstance(lost, ServerUnavailable) and not lost.is_lost
        # What the manager says of another model; to ask again at once would not help.
        return ModelNotReady(message) if is_answer and call.model == MODEL_MANAGER else lost
    if status == "RESOURCE_EXHAUSTED":
        return _exhausted(message, call, url)
    if call.method == "load_model" and kind in (InvalidInput, ServerError, ModelNotFound):
        why = _NOT_THERE if _NOT_POLLED in message else ""
        return ModelLoadFailed(f"model {call.model!r} could not be loaded: {message}{why}")
    if call.method in ("infer", "stream_infer") and status in _MODEL_FAILED:
        return inference_failed(call.model, message)
    if kind is ServerError:
        return ServerError(f"{url} answered {call.method} with {status}: {message}")
    return kind(message)


def _unavailable(message: str, call: Call, url: str) -> NosClientError | None:
    """What Triton itself says with the status that also stands for a lost connection."""
    if _QUEUE_FULL in message:
        return ModelNotReady(
            f"model {call.model!r} took no request, its queue is full: {message}; ask again later, "
            "or with fewer requests at once"
        )
    if _QUEUED_TOO_LONG in message:
        return DeadlineExceeded(
            f"the request to {call.model!r} waited in the server's queue until its time was over, "
            "and was not run; allow more with deadline=seconds"
        )
    if is_version_gone(message):
        return ModelNotFound(message)
    if _STOPPING.search(message):
        return ServerUnavailable(f"{url} takes no requests: {message}", was_sent=False)
    return None


def _lost(message: str, url: str) -> NosClientError:
    if refused := _of_tls(message, url):
        return refused
    never_sent = _NEVER_SENT.search(message) is not None
    if all(sign in message for sign in _CONNECTED_IN_VAIN):
        if url.startswith("grpcs://"):
            text = broken_handshake(message, url)
        else:
            text = _other_protocol(url, "gRPC", "an HTTP port", "http")
            text += f", and if it is one with TLS, grpcs://{url.partition('://')[2]}"
        return ServerUnavailable(text, was_sent=False)
    if never_sent or _LOST.search(message):
        text = _unreachable(url, message)
        if url.startswith("grpcs://") and never_sent:
            # gRPC tells of the last address alone, and a name such as localhost has several.
            plain = url.replace("grpcs://", "grpc://")
            text += f" If what listens there does not speak TLS, write {plain}"
        return ServerUnavailable(text, was_sent=not never_sent)
    return ServerUnavailable(f"{url} is unavailable: {message}", is_lost=False)


def _of_tls(message: str, url: str) -> NosClientError | None:
    return tls_failure(message, url) if url.startswith(("grpcs://", "https://")) else None


def _may_be_sent(error: BaseException) -> bool:
    """Whether a request can have left before the connection failed with this."""
    if isinstance(error, (NotConnected, ConnectionRefusedError)):
        return False
    # aiohttp's; it is imported only where it is used.
    return not any(kind.__name__ == "ClientConnectorError" for kind in type(error).__mro__)


def _exhausted(message: str, call: Call, url: str) -> NosClientError:
    if too_large := _TOO_LARGE.search(message):
        what = "answer" if too_large["way"].lower() == "received" else "request"
        return MessageTooLarge(
            f"the {what} of {call.model or call.method!r} is larger than a message may be "
            f"({url}: {message}); send fewer items at once, ask for fewer outputs, or, where the "
            'server is on this machine, make the client with shared_memory="auto"'
        )
    return ModelNotReady(
        f"{url} has no room for {call.method} now: {message}; ask again later, or with fewer "
        "requests at once"
    )


def _no_entry(call: Call, url: str, key: str) -> str:
    return (
        f"{url} lets only who has the key {key!r} do {call.method}: none was given, or a wrong "
        f"one; make the client with restricted_keys={{{key!r}: ...}}"
    )


def _not_let_in(call: Call, url: str, reason: str) -> str:
    return (
        f"{url} does not allow {call.method} ({reason}); give this client what the server asks "
        "for: token=..., headers={...} or TLS(certificate=..., key=...)"
    )


def is_worker_gone(message: str) -> bool:
    """Whether the process that ran a model has ended."""
    return _DEAD_WORKER.search(message) is not None


def inference_failed(model: str, message: str) -> InferenceFailed:
    """The model's failure, and what helps where its worker process is gone.

    Args:
        model: that was called; an ensemble's dead member is named by the message.
        message: the server's.
    """
    if dead := _DEAD_WORKER.search(message):
        ended = dead["model"] or dead["hung"] or model
        if re.search(rf"'{re.escape(model)}(_\d+){{1,2}}'", dead[0]):
            ended = model  # whose own name may end in numbers
        return WorkerEnded(
            f"model {model!r} failed: {message.rstrip('.')}: the worker process of {ended!r} has "
            "ended, with this request or before it (the server's log may tell why), and Triton "
            "starts no other by itself. Where there is a model manager it does; otherwise "
            f"unload_model({ended!r}) and then load_model({ended!r}) do"
        )
    return InferenceFailed(f"model {model!r} failed: {message}")


def _unreachable(url: str, reason: str) -> str:
    return f"no connection to {url} ({reason}); is the server running, and is this its port?"


def _other_protocol(url: str, spoken: str, port: str, scheme: str) -> str:
    other = f"{scheme}://{url.partition('://')[2]}"
    return f"what listens at {url} does not speak {spoken}; if it is {port}, write {other}"
