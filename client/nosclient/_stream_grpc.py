"""Open streams over gRPC, one call of ModelStreamInfer each, for threads.

tritonclient's own streams are one a client, and call back as fast as the server sends. Here any
number are open at once, and each is read as far as its reader asks, and a little ahead.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from nosclient._address import Address
from nosclient._call import Call, Chunk, Deadline, Turn
from nosclient._credentials import Credentials
from nosclient._error_map import translate
from nosclient._errors import ClientClosed
from nosclient._grpc_messages import read_chunk, request_message, translated
from nosclient._stream_leaving import AGAIN_SECONDS, Leaving

AHEAD = 4
"""Chunks that are kept for a reader."""
CLOSE_SECONDS = 5.0
"""How long a client that is closed waits for its streams to end in the regular way."""


class GrpcStreams:
    """Opens streams, on a connection of their own: a full one does not hold up other calls."""

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
        self._lock = threading.Lock()
        self._channel: Any = None
        self._open: weakref.WeakSet[GrpcStream] = weakref.WeakSet()

    def open(self, call: Call) -> GrpcStream:
        """Sends the request; what is wrong with it or the server comes with the first chunk."""
        headers = self._credentials.headers(call.headers)
        with self._lock:
            if self._channel is None:
                self._channel = self._connected()
            stream = GrpcStream(self._channel, call, str(self._address), headers)
            self._open.add(stream)
        return stream

    def _connected(self) -> Any:
        if self._tls is None:
            return grpc.insecure_channel(self._address.netloc, self._options)
        return grpc.secure_channel(self._address.netloc, self._tls, self._options)

    def close(self) -> None:
        """Leave the streams that are open, then close the connection."""
        with self._lock:
            streams = list(self._open)
            for stream in streams:
                stream.cancel(is_closed=True)
            limit = Deadline(CLOSE_SECONDS)
            for stream in streams:
                stream.wait(limit)
            if self._channel is not None:
                self._channel.close()


class GrpcStream:
    """One open stream; ``take`` belongs to one thread at a time, ``cancel`` to any."""

    def __init__(self, channel: Any, call: Call, url: str, headers: Mapping[str, str]) -> None:
        self._first = call
        self._url = url
        self._process = os.getpid()
        self._limit = Deadline(call.timeout)
        # No deadline of gRPC's: where it passes, the call is cancelled (see _stream_leaving.py).
        self._check_limit()
        request = request_message(call, url)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._requests.put(request)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # gRPC takes the requests in a thread, which ends at None.
        self._call = stub.ModelStreamInfer(
            iter(self._requests.get, None), metadata=tuple(headers.items())
        )
        # Reentrant: a stream may be forgotten, and hence cancelled, while this thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._arrived: deque[Any] = deque()
        self._error: grpc.RpcError | None = None
        self._is_left = self._is_over = self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def take(self, turn: Turn) -> Chunk | None:
        """Makes the turn; raises a NosClientError."""
        if self._process != os.getpid():
            raise ClientClosed(
                "the stream is the parent process's, which opened it before it forked"
            )
        if turn.action == "send":
            assert turn.call is not None, "there is something to send"
            self._requests.put(request_message(turn.call, self._url))
            return None
        if turn.action == "finish":
            with self._changed:
                self._is_left = True  # what may still come is dropped
            self._requests.put(None)
            return None
        with self._changed:
            while not (self._arrived or self._is_left or self._is_over):
                self._check_limit()
                self._changed.wait(self._limit.remaining())
            if self._arrived and not self._is_left:
                response = self._arrived.popleft()
                self._changed.notify_all()
                return read_chunk(response)
            if self._is_closed:
                raise ClientClosed("the client was closed while the stream was read")
            if self._error is not None and not self._is_left:
                raise translated(self._error, self._first, self._url) from self._error
            return None

    def cancel(self, *, is_closed: bool = False) -> None:
        """Let the server stop; whoever waits for a chunk gets none, or an error if closed."""
        if self._process != os.getpid():  # a fork's child forgets it; the parent may read on
            return
        with self._changed:
            if self._is_left or self._is_over:
                return
            self._is_left = True
            self._is_closed = is_closed
            self._changed.notify_all()
        if self._first.farewell is None:
            self._call.cancel()
        else:
            self._requests.put(request_message(self._first.farewell, self._url))

    def wait(self, limit: Deadline) -> None:
        """Until the call has ended, or the limit is reached."""
        self._reader.join(limit.remaining())

    def _check_limit(self) -> None:
        if self._limit.remaining() == 0:
            raise translate(TimeoutError("the deadline has passed"), self._first, self._url)

    def _read(self) -> None:
        leaving = None if self._first.farewell is None else Leaving(self._first.farewell)
        try:
            for response in self._call:
                if not self._keep(response) and leaving is not None:
                    self._drop(read_chunk(response), leaving)
        except grpc.RpcError as error:
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
            self._requests.put(None)

    def _keep(self, response: Any) -> bool:
        with self._changed:
            while len(self._arrived) >= AHEAD and not self._is_left:
                self._changed.wait()
            if self._is_left:
                return False
            self._arrived.append(response)
            self._changed.notify_all()
            return True

    def _drop(self, chunk: Chunk, leaving: Leaving) -> None:
        step = leaving.after(chunk)
        if step == "finish":
            self._requests.put(None)
        elif step == "cancel":
            self._call.cancel()
        elif step == "again":
            time.sleep(AGAIN_SECONDS)
            self._requests.put(request_message(leaving.farewell, self._url))
