"""One streamed inference as generators that yield calls and turns; chunks come out.

No socket and no event loop here: ``Stream`` and ``AsyncStream`` drive the same generators.

A server answers as fast as the model does and keeps what nobody reads, without a limit. So a
model may ask its readers to say how far they are (``stream_acknowledge`` among the parameters of
its configuration). Then the request carries two parameters, ``stream_id`` and ``stream_window``,
and the model waits while more than ``stream_window`` bytes are unread. What was read is told by
further requests for the same model on the same stream: with ``stream_id`` and ``stream_read``, the
number of chunks read so far. They have no answer, and the smallest inputs that Triton lets pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._call import Call, Chunk, Operation, Tensor, Turn
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
)
from nosclient._model_info import Signature
from nosclient._operations import Operations

ID, WINDOW, READ = "stream_id", "stream_window", "stream_read"
WINDOW_BYTES = 1 << 20
"""Of chunks sent and not read. Half of it takes one way through the network, so that a stream
runs at up to 5 MB/s where that way takes 100 ms."""
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
    ) -> None:
        self._operations = operations
        self._preparation = operations.prepared(
            "stream_infer", name, inputs, outputs, version, deadline, priority, parameters
        )
        self._id = secrets.token_hex(16)
        self._stream: Any = None
        self._call: Call | None = None
        self._acknowledgement: Call | None = None
        self._window = WINDOW_BYTES
        self._read = 0
        self._unacknowledged = 0
        self._is_over = False

    def open(self) -> Operation[None]:
        """Check the inputs, then send them; nothing if it was cancelled before."""
        if self._is_over:
            return
        signature, call = yield from self._preparation
        own = {name for name in call.parameters if name in (ID, WINDOW, READ)}
        if own:
            raise InvalidInput(
                f"the parameter {own.pop()!r} is the client's own; name it otherwise"
            )
        call = replace(call, request_id=self._id)
        if signature.acknowledges:
            tensors = [_smallest(signature, name) for name in sorted(signature.required)]
            # Where the inputs are large even so, they are sent more rarely.
            size = sum(tensor.array.nbytes for tensor in tensors)
            self._window = min(max(WINDOW_BYTES, 8 * size), 64 * WINDOW_BYTES)
            parameters = dict(call.parameters)
            parameters.update({ID: self._id, WINDOW: self._window})
            call = replace(call, parameters=parameters)
            self._acknowledgement = Call(
                "stream_infer", None, call.model, call.version, tensors, request_id=f"{self._id}+"
            )
        self._call = call
        self._stream = yield call

    def advance(self) -> Operation[Mapping[str, npt.NDArray[Any]] | None]:
        """The next chunk; None at the end."""
        if self._is_over:
            return None
        try:
            if 2 * self._unacknowledged >= self._window and self._acknowledgement is not None:
                said: dict[str, str | int] = {ID: self._id, READ: self._read}
                call = replace(self._acknowledgement, parameters=said)
                yield Turn(self._stream, "send", call)
                self._unacknowledged = 0
            chunk: Chunk | None = yield Turn(self._stream, "receive")
        except NosClientError:
            if self._is_over:  # cancelled while it waited
                return None
            self.cancel()
            raise
        if chunk is None or chunk.error or chunk.request_id != self._id:
            yield from self._ended_early(chunk)
            return None
        self._read += 1
        self._unacknowledged += max(chunk.size, LEAST_CHUNK)
        if chunk.is_last is not False:
            self._is_over = True
            yield Turn(self._stream, "finish")
            if not chunk.outputs:
                return None
        return chunk.outputs

    def cancel(self) -> None:
        """Tell the server to stop; nothing if it has ended."""
        if not self._is_over:
            self._is_over = True
            if self._stream is not None:
                self._stream.cancel()

    def _ended_early(self, chunk: Chunk | None) -> Operation[None]:
        if self._is_over:  # cancelled while it waited
            return
        if chunk is not None and chunk.is_last is not False:
            self._is_over = True
            yield Turn(self._stream, "finish")
        self.cancel()
        assert self._call is not None, "open() comes first"
        name, version = self._call.model, self._call.version
        error = _error(name, chunk, is_own=chunk is not None and chunk.request_id == self._id)
        raise (yield from self._operations.refused(error, name, version))


def _error(name: str, chunk: Chunk | None, *, is_own: bool) -> NosClientError:
    """What a stream's message says; unlike the answers of other calls it has no status."""
    if chunk is None:
        return ServerError(f"the server ended the stream of {name!r} before its last chunk")
    if not is_own:
        reason = f" ({chunk.error})" if chunk.error else ""
        return ModelNotReady(f"model {name!r} was unloaded or replaced while it streamed{reason}")
    if _UNKNOWN in chunk.error:
        return ModelNotFound(chunk.error)
    if not chunk.error.startswith(_REFUSED):
        return InferenceFailed(f"model {name!r} failed: {chunk.error}")
    reason = chunk.error.partition("] ")[2].strip()  # Triton's, before the model was asked
    if _FULL in reason:
        return ModelNotReady(f"model {name!r} took no request: {reason}")
    return InvalidInput(reason)


def _smallest(signature: Signature, name: str) -> Tensor:
    """An input of the fewest elements that the model's configuration allows."""
    info = signature.inputs_by_name[name]
    shape = [0 if size < 0 else size for size in info.shape]
    if signature.max_batch_size > 0:
        shape[0] = 1
    filling: Any = b"" if info.datatype == "BYTES" else 0
    return Tensor(name, info.datatype, np.full(shape, filling, info.dtype))
