"""Open streams over gRPC, one call of ModelStreamInfer each, blocking and asynchronous.

tritonclient's own streams are one a client, read by a thread that calls back as fast as the
server sends. Here any number are open at once, and each is read only when its reader asks.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc
from tritonclient.utils import (
    TRITON_RESERVED_REQUEST_PARAMS,
    TRITON_RESERVED_REQUEST_PARAMS_PREFIX,
    InferenceServerException,
    serialize_byte_tensor,
)

from nosclient._address import Address
from nosclient._call import Call, Chunk, Tensor, Turn
from nosclient._codec import read_outputs
from nosclient._error_map import translate
from nosclient._errors import NosClientError

_LAST = "triton_final_response"
_TELL_LAST = "triton_enable_empty_final_response"


class GrpcStreams:
    """Opens streams, on a connection of their own: a full one does not hold up other calls."""

    def __init__(self, address: Address, options: Sequence[tuple[str, Any]]) -> None:
        self._address = address
        self._options = list(options)
        self._lock = threading.Lock()
        self._channel: Any = None

    def open(self, call: Call) -> GrpcStream:
        """Sends the request; what is wrong with it or the server comes with the first chunk."""
        with self._lock:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._address.netloc, self._options)
            channel = self._channel
        return GrpcStream(channel, call, str(self._address))

    def close(self) -> None:
        """Close the connection; open streams are cancelled."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()


class GrpcStream:
    """One open stream; ``take`` belongs to one thread at a time, ``cancel`` to any."""

    def __init__(self, channel: Any, call: Call, url: str) -> None:
        self._first = call
        self._url = url
        request = _request(call, url)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._requests.put(request)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # gRPC reads the requests in a thread, which ends with the queue: at None.
        self._call = stub.ModelStreamInfer(
            iter(self._requests.get, None), timeout=_timeout(call, url)
        )
        end = self._requests
        if not self._call.add_callback(lambda: end.put(None)):
            end.put(None)

    def take(self, turn: Turn) -> Chunk | None:
        """Makes the turn; raises a NosClientError."""
        if turn.action == "send":
            assert turn.call is not None, "there is something to send"
            self._requests.put(_request(turn.call, self._url))
            return None
        try:
            if turn.action == "finish":
                self._requests.put(None)
                deque(self._call, maxlen=0)
                return None
            response = next(self._call, None)
        except grpc.RpcError as error:
            if turn.action == "finish":  # all chunks are there, whatever has come between
                return None
            raise _translated(error, self._first, self._url) from error
        return None if response is None else _chunk(response)

    def cancel(self) -> None:
        """Tell the server to stop."""
        self._call.cancel()


class AsyncGrpcStreams:
    """The same on the running event loop."""

    def __init__(self, address: Address, options: Sequence[tuple[str, Any]]) -> None:
        self._address = address
        self._options = list(options)
        self._channel: Any = None

    async def open(self, call: Call) -> AsyncGrpcStream:
        """As ``GrpcStreams.open``."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address.netloc, self._options)
        stream = AsyncGrpcStream(self._channel, call, str(self._address))
        try:
            await stream.take(Turn(stream, "send", call))
        except BaseException:
            stream.cancel()
            raise
        return stream

    async def close(self) -> None:
        """Close the connection; open streams are cancelled."""
        if self._channel is not None:
            await self._channel.close()


class AsyncGrpcStream:
    """One open stream."""

    def __init__(self, channel: Any, call: Call, url: str) -> None:
        self._first = call
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._is_cancelled = False
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._call = stub.ModelStreamInfer(timeout=_timeout(call, url))

    async def take(self, turn: Turn) -> Chunk | None:
        """Makes the turn; raises a NosClientError."""
        try:
            if turn.action == "send":
                assert turn.call is not None, "there is something to send"
                await self._call.write(_request(turn.call, self._url))
                return None
            if turn.action == "finish":
                await self._call.done_writing()
                while await self._call.read() is not grpc.aio.EOF:
                    pass
                return None
            response = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            if turn.action in ("send", "finish"):  # the next receive tells why, if any comes
                return None
            raise _translated(error, self._first, self._url) from error
        except asyncio.CancelledError:
            if self._is_cancelled:  # the stream was, and not the task that reads it
                return None
            raise
        return None if response is grpc.aio.EOF else _chunk(response)

    def cancel(self) -> None:
        """Tell the server to stop; from any thread, as a forgotten stream may end in any."""
        self._is_cancelled = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call.cancel)


def _timeout(call: Call, url: str) -> float | None:
    if call.timeout is not None and call.timeout <= 0:
        raise translate(TimeoutError("the deadline has passed"), call, url)
    return call.timeout


def _translated(error: Any, call: Call, url: str) -> NosClientError:
    if not isinstance(error, grpc.RpcError):
        return translate(error, call, url)
    named = InferenceServerException(msg=str(error.details()), status=str(error.code()))
    return translate(named, call, url)


def _request(call: Call, url: str) -> Any:
    """The protocol's message."""
    message = service_pb2.ModelInferRequest(
        model_name=call.model, model_version=call.version, id=call.request_id
    )
    for tensor in call.tensors:
        shape = tensor.array.shape
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        message.raw_input_contents.append(_raw(tensor))
    for name in call.outputs or ():
        message.outputs.add(name=name)
    for name, value in call.parameters.items():
        if name in TRITON_RESERVED_REQUEST_PARAMS or name.startswith(
            TRITON_RESERVED_REQUEST_PARAMS_PREFIX
        ):
            reason = f'Parameter "{name}" is a reserved parameter and cannot be specified.'
            raise translate(InferenceServerException(reason), call, url)
        _set(message.parameters[name], name, value, call, url)
    if call.priority:
        message.parameters["priority"].uint64_param = call.priority
    message.parameters[_TELL_LAST].bool_param = True
    return message


def _set(parameter: Any, name: str, value: Any, call: Call, url: str) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    elif isinstance(value, str):
        parameter.string_param = value
    else:
        reason = f'The parameter datatype "{type(value)}" for key "{name}" is not supported.'
        raise translate(InferenceServerException(reason), call, url)


def _raw(tensor: Tensor) -> bytes:
    if tensor.array.size == 0:
        return b""
    if tensor.datatype == "BYTES":
        return bytes(serialize_byte_tensor(tensor.array).item())
    if tensor.datatype == "BF16" and tensor.array.dtype == np.float32:
        # The stand-in of older releases of tritonclient, which cut off the lower half as well.
        return (np.ascontiguousarray(tensor.array).view("<u4") >> 16).astype("<u2").tobytes()
    return tensor.array.tobytes()


def _chunk(response: Any) -> Chunk:
    inferred = response.infer_response
    parameters = inferred.parameters
    return Chunk(
        inferred.id,
        {} if response.error_message else read_outputs(InferResult(inferred)),
        sum(len(raw) for raw in inferred.raw_output_contents),
        response.error_message,
        parameters[_LAST].bool_param if _LAST in parameters else None,
    )
