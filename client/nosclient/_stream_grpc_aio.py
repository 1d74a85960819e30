"""Open streams over gRPC, one call of ModelStreamInfer each, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nosclient._address import Address
from nosclient._call import Call, Chunk, Deadline, Turn
from nosclient._credentials import Credentials
from nosclient._error_map import is_restricted, translate
from nosclient._errors import ClientClosed, NosClientError
from nosclient._grpc_failures import CUT_OFF
from nosclient._grpc_messages import read_chunk, request_message, translated
from nosclient._service import PROBE_SECONDS
from nosclient._stream_grpc import AHEAD, CLOSE_SECONDS
from nosclient._stream_leaving import AGAIN_SECONDS, Leaving


class AsyncGrpcStreams:
    """As ``GrpcStreams``."""

    def __init__(
        self,
        address: Address,
        options: Sequence[tuple[str, Any]],
        credentials: Credentials,
        tls: Any,
    ) -> None:
        self._address = address
        self._options = list(options)
        self._credentials = credentials
        self._tls = tls
        self._channel: Any = None
        # A loop itself holds its tasks only weakly.
        self._open: dict[asyncio.Task[None], AsyncGrpcStream] = {}

    async def open(self, call: Call) -> AsyncGrpcStream:
        """As ``GrpcStreams.open``."""
        headers = self._credentials.headers(call.headers)
        if self._channel is None:
            self._channel = self._connected()
        stream = AsyncGrpcStream(self._channel, call, str(self._address), headers)
        reader = asyncio.create_task(stream.read())
        self._open[reader] = stream
        reader.add_done_callback(self._open.pop)
        return stream

    def _connected(self) -> Any:
        if self._tls is None:
            return grpc.aio.insecure_channel(self._address.netloc, self._options)
        return grpc.aio.secure_channel(self._address.netloc, self._tls, self._options)

    async def close(self) -> None:
        """As ``GrpcStreams.close``."""
        for stream in list(self._open.values()):
            stream.leave(ClientClosed("the client was closed while the stream was read"))
        if self._open:
            await asyncio.wait(list(self._open), timeout=CLOSE_SECONDS)
        if self._channel is not None:
            await self._channel.close()


class AsyncGrpcStream:
    """One open stream; it lives as long as the task that runs ``read``."""

    def __init__(self, channel: Any, call: Call, url: str, headers: Mapping[str, str]) -> None:
        self._first = call
        self._url = url
        self._limit = Deadline(call.timeout)
        self._check_limit()
        self._loop = asyncio.get_running_loop()
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._requests.put_nowait(request_message(call, url))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._metadata = tuple(headers.items())
        self._call = stub.ModelStreamInfer(self._requested(), metadata=self._metadata)
        self._ask = stub.ModelInfer
        self._arrived: asyncio.Queue[Any] = asyncio.Queue(AHEAD)  # at the end: None or an error
        self._is_left = False

    async def take(self, turn: Turn) -> Chunk | None:
        """Makes the turn; raises a NosClientError."""
        if turn.action == "send":
            assert turn.call is not None, "there is something to send"
            self._requests.put_nowait(request_message(turn.call, self._url))
            return None
        if turn.action == "finish":
            self._is_left = True  # what may still come is dropped
            self._requests.put_nowait(None)
            return None
        self._check_limit()
        try:
            response = await asyncio.wait_for(self._arrived.get(), self._limit.remaining())
        except asyncio.TimeoutError as error:
            raise translate(error, self._first, self._url) from error
        if isinstance(response, grpc.RpcError):
            reason = await self._reason(response)
            raise translated(reason, self._first, self._url) from reason
        if isinstance(response, NosClientError):
            raise response
        return None if response is None else read_chunk(response)

    def cancel(self) -> None:
        """Let the server stop; from any thread, as a forgotten stream may end in any."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.leave)

    def leave(self, error: NosClientError | None = None) -> None:
        """The same at once, on the loop; whoever waits for a chunk gets none, or the error."""
        if self._is_left:
            return
        self._is_left = True
        while not self._arrived.empty():  # its reader may wait for room
            self._arrived.get_nowait()
        self._arrived.put_nowait(error)  # and ours for a chunk
        if self._first.farewell is None:
            self._call.cancel()
        else:
            self._requests.put_nowait(request_message(self._first.farewell, self._url))

    async def read(self) -> None:
        """Keep what arrives for ``take``, until the call ends."""
        leaving = None if self._first.farewell is None else Leaving(self._first.farewell)
        end: grpc.RpcError | None = None
        try:
            async for response in self._call:
                if not self._is_left:
                    await self._arrived.put(response)
                elif leaving is not None:
                    await self._drop(read_chunk(response), leaving)
        except grpc.RpcError as error:
            end = error
        except asyncio.CancelledError:
            if not self._is_left:
                raise
        self._requests.put_nowait(None)
        if not self._is_left:
            await self._arrived.put(end)

    async def _reason(self, error: grpc.RpcError) -> grpc.RpcError:
        """Why the server refused the stream, where gRPC has lost that.

        Triton answers a restricted call before it has read it, and gRPC's asyncio, which then
        writes the request in vain, forgets the answer. So a request of the same protocol group is
        made that no server can run.
        """
        if error.details() != CUT_OFF:
            return error
        patience = PROBE_SECONDS
        if (remaining := self._limit.remaining()) is not None:
            patience = min(patience, remaining)
        nothing = service_pb2.ModelInferRequest()
        try:
            await self._ask(nothing, timeout=patience, metadata=self._metadata)
        except grpc.RpcError as refusal:
            if is_restricted(str(refusal.details())):
                return refusal
        return error

    async def _requested(self) -> AsyncIterator[Any]:
        while (request := await self._requests.get()) is not None:
            yield request

    def _check_limit(self) -> None:
        if self._limit.remaining() == 0:
            raise translate(TimeoutError("the deadline has passed"), self._first, self._url)

    async def _drop(self, chunk: Chunk, leaving: Leaving) -> None:
        step = leaving.after(chunk)
        if step == "finish":
            self._requests.put_nowait(None)
        elif step == "cancel":
            self._call.cancel()
        elif step == "again":
            await asyncio.sleep(AGAIN_SECONDS)
            self._requests.put_nowait(request_message(leaving.farewell, self._url))
