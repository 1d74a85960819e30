"""The wire to a fake server: calls go in, what Triton's client would give comes out.

Tensors take the real codec both ways, so that what arrives is what would arrive.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from nosclient._address import Address
from nosclient._call import Call, Chunk, Tensor, Turn
from nosclient._credentials import Credentials
from nosclient._error_map import translate
from nosclient._grpc_messages import raw, read_answer, request_message
from nosclient.testing._fake_model import FakeRequest
from nosclient.testing._fake_server import FakeServer, find


class FakeTransport:
    """Blocking calls, from any thread."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._url = str(address)
        self._credentials = credentials
        self._server = find(address.port)

    def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        if isinstance(call, Turn):
            return call.stream.take(call)
        call = call._replace(headers=self._credentials.headers(call.headers))
        with translated(call, self._url):
            server = self._reached(call)
            if call.method == "stream_infer":
                return FakeStream(server, call, self._url)
            started = time.perf_counter()
            answer, seconds = _answer(server, call, self._url)
            seconds += time.perf_counter() - started
            if call.timeout is not None and seconds >= call.timeout:
                raise TimeoutError("the deadline has passed")
            return answer

    def close(self) -> None:
        """Nothing is open."""

    def _reached(self, call: Call) -> FakeServer:
        if call.timeout is not None and call.timeout <= 0:
            raise TimeoutError("the deadline has passed")
        if self._server is None:
            raise ConnectionRefusedError("there is no such FakeServer, or nobody holds it any more")
        if not self._server.is_running:
            raise ConnectionRefusedError("the FakeServer is stopped")
        return self._server


class AsyncFakeTransport:
    """The same on an event loop; others get their turn before each call."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._transport = FakeTransport(address, credentials)

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        await asyncio.sleep(0)
        return self._transport.perform(call)

    async def close(self) -> None:
        """Nothing is open."""

    async def abandon(self) -> None:
        """Nothing is open."""


class FakeStream:
    """An open stream: the model's next answer is made when it is asked for."""

    def __init__(self, server: FakeServer, call: Call, url: str) -> None:
        self._server = server
        self._call = call
        self._url = url
        self._request = _request(server, call, url)
        self._answers: Iterator[list[Tensor]] | None = None
        self._late = 0.0  # seconds, as the model claims
        self._started = time.perf_counter()
        self._is_left = False
        self._is_ended = False
        self._busy = threading.Lock()

    def take(self, turn: Turn) -> Chunk | None:
        """Makes the turn; raises a NosClientError."""
        if turn.action != "receive":
            self.cancel()
            return None
        with self._busy, translated(self._call, self._url):
            try:
                return None if self._is_left or self._is_ended else self._next()
            finally:
                if self._is_left:
                    self._close()

    def cancel(self) -> None:
        """The model stops before its next answer."""
        self._is_left = True
        if self._busy.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._busy.release()

    def _next(self) -> Chunk | None:
        name, limit = self._call.request_id, self._call.timeout
        if not self._server.is_running:
            raise ConnectionResetError("the FakeServer was stopped")
        try:
            model = self._server._model(self._call)
            if self._answers is None:
                self._answers = model.answers(self._request)
            tensors = next(self._answers, None)
        except InferenceServerException as error:
            self._is_ended = True
            return Chunk(name, {}, 0, _told(error, name), None)
        if self._is_left:  # while the model was at work
            return None
        self._late += model.latency
        if limit is not None and time.perf_counter() - self._started + self._late >= limit:
            raise TimeoutError("the deadline has passed")
        if tensors is None:
            self._is_ended = True
            return Chunk(name, {}, 0, "", True)
        size = sum(len(raw(tensor)) for tensor in tensors)
        is_last = False if model.signature.decoupled else None
        return Chunk(name, arrived(tensors), size, "", is_last)

    def _close(self) -> None:
        close = getattr(self._answers, "close", None)
        if close is not None:
            close()


def arrived(tensors: Sequence[Tensor]) -> dict[str, npt.NDArray[Any]]:
    """Tensors as they are at the other end of the wire: read-only, and nobody else's."""
    message = service_pb2.ModelInferResponse()
    for tensor in tensors:
        shape = tensor.array.shape
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        message.raw_output_contents.append(raw(tensor))
    return read_answer(message)


@contextmanager
def translated(call: Call, url: str) -> Iterator[None]:
    """Errors of the server and of the connection as the real transports raise them."""
    try:
        yield
    except (InferenceServerException, OSError) as error:
        raise translate(error, call, url) from error


def _answer(server: FakeServer, call: Call, url: str) -> tuple[Any, float]:
    """The answer, and the seconds that the model claims to have taken."""
    if call.method == "infer":
        request = _request(server, call, url)
        model = server._model(call)
        (tensors,) = model.answers(request)
        return arrived(tensors), model.latency
    answers: dict[str, Callable[[], Any]] = {
        "is_server_live": lambda: True,
        "is_server_ready": lambda: True,
        "is_model_ready": lambda: server._is_ready(call),
        "get_server_metadata": lambda: {"name": "triton", "version": "2.51.0", "extensions": []},
        "get_model_metadata": lambda: server._model(call).metadata,
        "get_model_config": lambda: server._model(call).config,
        "get_model_repository_index": server._index,
        "get_inference_statistics": lambda: server._statistics(call),
        "load_model": lambda: server._load(call),
        "unload_model": lambda: server._unload(call),
    }
    if call.method not in answers:  # shared memory: there is nobody to share it with
        raise InferenceServerException(f"a FakeServer has no {call.method}", "UNIMPLEMENTED")
    return answers[call.method](), 0.0


def _request(server: FakeServer, call: Call, url: str) -> FakeRequest:
    request_message(call, url)  # refuses parameters that cannot be sent
    request = FakeRequest(
        call.model,
        arrived(call.tensors),
        None if call.outputs is None else tuple(call.outputs),
        call.version,
        dict(call.parameters),
        call.priority,
        dict(call.headers),
        call.timeout,
        call.sequence,
        call.method == "stream_infer",
    )
    server._received(request)
    return request


def _told(error: InferenceServerException, request_id: str) -> str:
    """A stream has no status; Triton marks what it refused before the model was asked."""
    is_model = error.status() in ("INTERNAL", "NOT_FOUND")
    return str(error.message()) if is_model else f"[request id: {request_id}] {error.message()}"
