"""What an operation asks a transport to do, as plain values.

Operations (``_operations.py``) yield these and are sent the answers; they never touch a socket,
so that the blocking and the asynchronous client share every line of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

import numpy.typing as npt

from nosclient._errors import InvalidInput, ServerUnavailable
from nosclient._shared_pool import Place

Method = Literal[
    "is_server_live",
    "is_server_ready",
    "is_model_ready",
    "get_model_metadata",
    "get_model_config",
    "get_model_repository_index",
    "get_inference_statistics",
    "get_server_metadata",
    "get_system_shared_memory_status",
    "register_system_shared_memory",
    "unregister_system_shared_memory",
    "get_cuda_shared_memory_status",
    "register_cuda_shared_memory",
    "unregister_cuda_shared_memory",
    "load_model",
    "unload_model",
    "infer",
    "stream_infer",
]
"""Methods under the name that tritonclient's clients give them.

``stream_infer`` is answered with an open stream, for a ``Turn`` at a time.
"""


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Tensor(NamedTuple):
    """An array ready to be sent: its dtype is that of ``datatype``."""

    name: str
    datatype: str
    array: npt.NDArray[Any]
    place: Place | None = None
    """In shared memory, where it stands there."""


class RegionCall(NamedTuple):
    """A region of shared memory that the server shall map, or let go of."""

    name: str
    size: int = 0
    key: str = ""
    """Of system memory."""
    handle: bytes = b""
    """Of CUDA's memory (cudaIpcMemHandle_t); empty for system memory."""
    device: int = 0
    """The number of the GPU."""


class SequenceStep(NamedTuple):
    """Where a request stands in the sequence that it belongs to."""

    id: int
    """Triton's correlation id; of 63 bits, which both protocols carry, and never 0."""
    start: bool
    end: bool


@dataclass
class Home:
    """The server at which a sequence or a stream lives, once it was begun there."""

    endpoint: int | None = None


class Call(NamedTuple):
    """One request to the server; a tuple, since one is made for every inference."""

    method: Method
    timeout: float | None
    """Seconds left for it; None waits for ever."""
    model: str = ""
    version: str = ""
    tensors: Sequence[Tensor] = ()
    outputs: Sequence[str] | None = None
    priority: int = 0
    parameters: Mapping[str, str | int | float | bool] = NOTHING
    request_id: str = ""
    farewell: Call | None = None
    """Of a stream: the request that lets its model stop; None where nothing but cancelling does."""
    sequence: SequenceStep | None = None
    places: Mapping[str, Place] = NOTHING
    """Outputs that the server is to write into shared memory."""
    region: RegionCall | None = None
    headers: Mapping[str, str] = NOTHING
    """Sent beside the request: gRPC's metadata, HTTP's headers. Names in lower case."""
    is_item: bool = False
    """True where the batch axis was added to one item's inputs; its answer comes without."""
    home: Home | None = None
    """Of what must stay at one server: which one; filled by the first call. None: any will do."""
    endpoint: int = 0
    """The number of the server that it is sent to, among those of the client."""

    @property
    def is_in_shared_memory(self) -> bool:
        """Whether the server reads or writes any of its tensors there."""
        return bool(self.places) or any(tensor.place is not None for tensor in self.tensors)

    @property
    def queue_timeout_us(self) -> int | None:
        """Triton drops a request that waits longer than this, in microseconds, in a queue whose
        policy allows it (allow_timeout_override); elsewhere it is no more than told to the model.
        """
        if self.method != "infer" or not self.timeout or self.sequence is not None:
            return None
        return max(1, int(self.timeout * 1e6))


class Chunk(NamedTuple):
    """One message of an open stream."""

    request_id: str
    outputs: Mapping[str, npt.NDArray[Any]]
    size: int
    """Bytes of all outputs as they came."""
    error: str
    """The server's message; empty where there is none."""
    is_last: bool | None
    """None where the server does not tell: a model that is not decoupled, a request it refused."""


@dataclass(frozen=True)
class Turn:
    """One move on an open stream.

    ``receive`` is answered with a Chunk, or None at the stream's end; ``send`` sends one more
    request; ``finish`` says that no more will come and waits for the end, whatever comes before it.
    """

    stream: Any
    action: Literal["receive", "send", "finish"]
    call: Call | None = None
    endpoint: int = 0
    """Any: the stream knows its server."""


@dataclass(frozen=True)
class Pause:
    """Wait before the next step."""

    seconds: float


@dataclass(frozen=True)
class Lost:
    """A stream was lost before its first chunk: answered with whether it may be opened again."""

    home: Home
    error: ServerUnavailable
    attempt: int
    """How often it was opened again before."""
    limit: Deadline


@dataclass(frozen=True)
class Everywhere:
    """What every server is to do, each in turn; answered once all were told."""

    what: str
    """For the message of a failure, which says where it was done."""
    at: Callable[[Home], Operation[Any]]
    """Does it at one server, which the home names."""


T = TypeVar("T")
Operation = Generator[Call | Turn | Pause | Lost | Everywhere, Any, T]
Routed = Generator[Call | Turn | Pause, Any, T]
"""An operation whose calls know their servers: what a client drives."""


class Deadline:
    """The time by which a whole operation must be done, however many calls it takes.

    Raises:
        InvalidInput: no number of seconds from 0 up; infinity is no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None:
            try:
                is_limit, is_past = math.isfinite(seconds), seconds < 0
            except TypeError:
                raise InvalidInput(
                    f"{seconds!r:.60} is no number of seconds to wait; write e.g. 5.0, or None"
                ) from None
            if is_past or seconds != seconds:
                raise InvalidInput(f"{seconds!r} seconds is no time to wait; write 0 or more")
            if not is_limit:
                seconds = None
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Seconds left, never below 0; None where there is no limit."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())
