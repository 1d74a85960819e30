"""One streamed inference as generators that yield calls and turns; chunks come out.

No socket and no event loop here: ``Stream`` and ``AsyncStream`` drive the same generators.

Triton sends as fast as the model answers, and keeps every answer to a request, read or not, until
that request has ended. So a long stream would take up the server's memory for all of its length.
A model that says so (``stream_legs`` among the parameters of its configuration) therefore
goes in legs. The request carries two parameters: ``stream_id``, any text of the client's own, and
``stream_window``, the bytes of chunks that it may be answered with. Once half of them are read, the
client sends a further request for the same model on the same stream, a leg: the two parameters and
``stream_leg`` (1, 2, ...), the smallest inputs that Triton lets pass, and the same outputs. The
model ends a full request with an answer that has no outputs and goes on in the next leg, or waits
for it. Where a request ends without such an answer, the stream has ended. A leg with the parameter
``stream_stop`` ends it before its next step.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._call import Call, Chunk, Deadline, Home, Lost, Operation, Tensor, Turn
from nosclient._codec import without_batch_axis
from nosclient._error_map import inference_failed, is_worker_gone
from nosclient._errors import (
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    ServerUnavailable,
)
from nosclient._model_info import Signature
from nosclient._observer import Observed
from nosclient._operations import Operations
from nosclient._stream_leaving import NO_STREAM

ID, WINDOW, LEG, STOP = "stream_id", "stream_window", "stream_leg", "stream_stop"
WINDOW_BYTES = 1 << 20
"""Of chunks in one leg. Half of it takes one way through the network while the other half is read:
a stream runs at up to 5 MB/s where that way takes 100 ms."""
LEAST_CHUNK = 1024
"""A smaller chunk counts as so many bytes: that is about what it costs the server."""
_REFUSED = "[request id: "
_UNKNOWN = "unknown model"
_FULL = "maximum queue size"


class StreamSession:
    """The request, what is open for it, and how far it was read."""

    def __init__(
        self,
        operations: Operations,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        version: str | int,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
        *,
        either: bool = False,
    ) -> None:
        self._operations = operations
        self._name = name
        self._version = version
        self._either = either
        self._observed: Observed | None = None  # from open() on
        self._request = (inputs, outputs, version, deadline, priority, parameters)
        self._id = secrets.token_hex(16)
        self._stream: Any = None
        self._call: Call | None = None
        self._next: Call | None = None
        self._window = WINDOW_BYTES
        self._leg = 0
        self._legs_sent = 0
        self._read = 0  # bytes of the leg
        self._goes_on = False  # in the next leg
        self._early: deque[Chunk] = (
            deque()
        )  # Triton may send the next leg's before the last of this
        self._is_over = False
        self._home = Home()
        self._limit = Deadline(None)
        self._is_answered = False
        self._is_loaded = False  # on demand, for this stream
        self._is_cancelled = False
        self._begun_again = 0

    def open(self) -> Operation[None]:
        """Check the inputs, then send them; nothing if it was cancelled before."""
        if self._is_over:
            return
        observed = self._operations.observer.begin("stream_infer", self._name, self._version)
        self._observed = observed
        try:
            yield from self._open(observed)
        except BaseException as error:
            observed.failed(error)
            raise

    def _open(self, observed: Observed) -> Operation[None]:
        signature, call = yield from self._operations.prepared(
            "stream_infer",
            self._name,
            *self._request,
            headers=observed.headers,
            either=self._either,
        )
        observed.sends(call)
        own = {name for name in call.parameters if name in (ID, WINDOW, LEG, STOP)}
        if own:
            raise InvalidInput(
                f"the parameter {own.pop()!r} is the client's own; name it otherwise"
            )
        self._limit = Deadline(call.timeout)
        call = call._replace(request_id=self._leg_id, home=self._home)
        if signature.streams_in_legs:
            tensors = [_smallest(signature, name) for name in sorted(signature.required)]
            # Where the inputs are large even so, they are sent more rarely.
            size = sum(tensor.array.nbytes for tensor in tensors)
            self._window = min(max(WINDOW_BYTES, 8 * size), 64 * WINDOW_BYTES)
            parameters = dict(call.parameters)
            parameters.update({ID: self._id, WINDOW: self._window})
            self._next = call._replace(tensors=tensors, parameters=parameters)
            stopping = self._next._replace(
                request_id=f"{self._id}.stop",
                parameters={**parameters, LEG: 1, STOP: 1},
            )
            call = call._replace(parameters=parameters, farewell=stopping)
        self._call = call
        self._stream = yield call

    def advance(self) -> Operation[Mapping[str, npt.NDArray[Any]] | None]:
        """The next chunk; None at the end."""
        observed = self._observed
        if observed is None:  # cancelled before anything was sent
            return None
        try:
            chunk = yield from self._advance()
        except BaseException as error:
            observed.failed(error)
            raise
        if chunk is not None:
            observed.chunk(chunk.size)
        if self._is_over:
            observed.answered()
        return None if chunk is None else chunk.outputs

    def _advance(self) -> Operation[Chunk | None]:
        while not self._is_over:
            try:
                chunk = yield from self._receive()
            except NosClientError as error:
                if self._is_over:  # cancelled while it waited
                    return None
                if isinstance(error, ServerUnavailable) and (yield from self._opened_again(error)):
                    continue
                self._leave()
                raise
            is_first, self._is_answered = not self._is_answered, True
            if chunk is None or chunk.error:
                yield from self._ended_early(chunk, is_first)
                continue
            if self._next is not None and not chunk.outputs and chunk.is_last is False:
                self._goes_on = True
                continue
            if self._goes_on and chunk.is_last:
                self._leg, self._read, self._goes_on = self._leg + 1, 0, False
                continue
            self._read += max(chunk.size, LEAST_CHUNK)
            if chunk.is_last is not False:
                self._is_over = True
                yield Turn(self._stream, "finish")
                if not chunk.outputs:
                    return None
            assert self._call is not None, "open() comes first"
            if self._call.is_item:
                return chunk._replace(outputs=without_batch_axis(chunk.outputs))
            return chunk
        return None

    def __str__(self) -> str:
        """The model and the state, as the repr of a stream shows them."""
        state = "not begun" if self._observed is None else "open"
        return f"of {self._name!r}, {'over' if self._is_over else state}"

    def cancel(self) -> None:
        """Tell the server to stop; nothing if it has ended."""
        self._is_cancelled = True
        if self._observed is not None:
            self._observed.cancelled()
        self._leave()

    def _leave(self) -> None:
        if not self._is_over:
            self._is_over = True
            if self._stream is not None:
                self._stream.cancel()

    @property
    def _leg_id(self) -> str:
        return f"{self._id}.{self._leg}"

    def _receive(self) -> Operation[Chunk | None]:
        """The server's next message; before it, the next leg is sent if it is time."""
        is_time = 2 * self._read >= self._window and self._legs_sent == self._leg
        if self._next is not None and is_time:
            self._legs_sent += 1
            parameters = dict(self._next.parameters)
            parameters[LEG] = self._legs_sent
            following = f"{self._id}.{self._legs_sent}"
            call = self._next._replace(request_id=following, parameters=parameters)
            yield Turn(self._stream, "send", call)
        while True:
            if self._early and self._early[0].request_id == self._leg_id:
                return self._early.popleft()
            chunk: Chunk | None = yield Turn(self._stream, "receive")
            if chunk is None or chunk.request_id == self._leg_id or _is_lost(chunk):
                return chunk
            self._early.append(chunk)

    def _opened_again(self, error: ServerUnavailable) -> Operation[bool]:
        """Elsewhere or here, where nothing was heard of it yet."""
        if self._is_answered:
            return False
        is_allowed = yield Lost(self._home, error, self._begun_again, self._limit)
        if not is_allowed or self._is_over:
            return False
        self._begun_again += 1
        assert self._call is not None, "open() comes first"
        self._stream = yield self._call._replace(timeout=self._limit.remaining())
        if self._is_over:  # cancelled meanwhile
            self._stream.cancel()
        return True

    def _ended_early(self, chunk: Chunk | None, is_first: bool) -> Operation[None]:
        """Raises why, unless it was cancelled, or is open again since its model is loaded now."""
        if self._is_over:  # cancelled while it waited
            return
        is_own = chunk is not None and chunk.request_id == self._leg_id
        if chunk is not None and is_own and chunk.is_last is not False:
            self._is_over = True
            yield Turn(self._stream, "finish")
        self._leave()
        assert self._call is not None, "open() comes first"
        error = _error(self._call.model, chunk, is_own=is_own)
        may_load = is_first and not self._is_loaded
        self._is_loaded = True
        limit = self._limit if may_load else None
        failure = yield from self._operations.refused(error, self._call, limit)
        if self._is_cancelled:
            return
        if failure is not None:
            raise failure
        self._is_over = self._is_answered = False
        self._stream = yield self._call._replace(timeout=self._limit.remaining())
        if self._is_cancelled:  # meanwhile
            self._is_over = True
            self._stream.cancel()


def _error(name: str, chunk: Chunk | None, *, is_own: bool) -> NosClientError:
    """What a stream's message says; unlike the answers of other calls it has no status."""
    if chunk is None:
        return ServerError(f"the server ended the stream of {name!r} before its last chunk")
    if not is_own and not is_worker_gone(chunk.error):
        reason = f" ({chunk.error})" if chunk.error else ""
        return ModelNotReady(f"model {name!r} was unloaded or replaced while it streamed{reason}")
    if _UNKNOWN in chunk.error:
        return ModelNotFound(chunk.error)
    if not chunk.error.startswith(_REFUSED):
        return inference_failed(name, chunk.error)
    reason = chunk.error.partition("] ")[2].strip()  # Triton's, before the model was asked
    if _FULL in reason:
        return ModelNotReady(f"model {name!r} took no request: {reason}")
    return InvalidInput(reason)


def _is_lost(chunk: Chunk) -> bool:
    """Whether the next leg did not reach the stream, so that this one waits for it for ever."""
    if chunk.error.startswith((NO_STREAM, _REFUSED)) or _UNKNOWN in chunk.error:
        return True
    return bool(chunk.error) and is_worker_gone(chunk.error)


def _smallest(signature: Signature, name: str) -> Tensor:
    """An input of the fewest elements that the model's configuration allows."""
    info = signature.inputs_by_name[name]
    shape = [0 if size < 0 else size for size in info.shape]
    if signature.max_batch_size > 0:
        shape[0] = 1
    filling: Any = b"" if info.datatype == "BYTES" else 0
    return Tensor(name, info.datatype, np.full(shape, filling, info.dtype))
