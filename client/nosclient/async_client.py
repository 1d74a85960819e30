"""The asynchronous client: the face of ``Client`` with await, over the same operations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy.typing as npt

from nosclient._address import Address, parse_address
from nosclient._call import Call, Operation, Pause, T, Turn
from nosclient._errors import ClientClosed, NosClientError
from nosclient._model_handle import CallOptions, describe
from nosclient._model_info import ModelInfo, ModelStatistics, ModelSummary
from nosclient._operations import Operations
from nosclient._sequence_session import SequenceSession
from nosclient._service import ServiceInfo, get_service_info, is_healthy, wait_for_server
from nosclient._shared_memory import Mode, Transport
from nosclient._stats import ClientStats
from nosclient._stream_session import StreamSession
from nosclient.async_model import AsyncModel
from nosclient.async_sequence import AsyncModelSequence
from nosclient.async_stream import AsyncStream


class AsyncClient:
    """Calls a Triton server from one event loop; arguments, results and errors as in Client."""

    def __init__(
        self,
        url: str = "localhost:8001",
        *,
        deadline: float | None = None,
        shared_memory: Mode = "off",
        strict: bool = True,
    ) -> None:
        self._address = parse_address(url)
        self._operations = Operations(deadline, self._address, shared_memory, strict)
        # Made with the first call: both libraries bind to the event loop that runs then.
        self._transport: _AsyncTransport | None = None
        self._closed = False

    async def list_models(self, *, deadline: float | None = None) -> list[ModelSummary]:
        """As ``Client.list_models``."""
        return await self._drive(self._operations.list_models(deadline))

    async def get_model_info(
        self, name: str, version: str | int = "", *, deadline: float | None = None
    ) -> ModelInfo:
        """As ``Client.get_model_info``."""
        return await self._drive(self._operations.get_model_info(name, version, deadline))

    async def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str | int = "",
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """As ``Client.run``."""
        return await self._drive(
            self._operations.run(name, inputs, outputs, version, deadline, priority, parameters)
        )

    async def model(
        self,
        name: str,
        *,
        version: str | int = "",
        deadline: float | None = None,
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> AsyncModel:
        """As ``Client.model``; awaited, so that the object knows its signature from the start."""
        options = CallOptions(version, deadline, outputs, priority, parameters)
        facts = await self._drive(describe(self._operations, name, options))
        return AsyncModel(self._drive, self._operations, self._address, facts)

    def stream(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str | int = "",
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> AsyncStream:
        """As ``Client.stream``, for ``async for``; errors come with the first chunk."""
        session = StreamSession(
            self._operations, name, inputs, outputs, version, deadline, priority, parameters
        )
        return AsyncStream(self._drive, session, self._address)

    def sequence(
        self, name: str, *, version: str | int = "", deadline: float | None = None
    ) -> AsyncModelSequence:
        """As ``Client.sequence``."""
        session = SequenceSession(self._operations, name, version, deadline)
        return AsyncModelSequence(self._drive, session)

    async def is_ready(self, model: str | None = None, *, deadline: float | None = None) -> bool:
        """As ``Client.is_ready``."""
        return await self._drive(self._operations.is_ready(model, deadline))

    async def wait_until_ready(self, timeout: float = 30.0, model: str | None = None) -> None:
        """As ``Client.wait_until_ready``."""
        await self._drive(self._operations.wait_until_ready(timeout, model))

    async def is_healthy(self, *, deadline: float | None = None) -> bool:
        """As ``Client.is_healthy``."""
        return await self._drive(is_healthy(self._operations.limit(deadline)))

    async def wait_for_server(self, timeout: float = 60.0) -> None:
        """As ``Client.wait_for_server``."""
        await self._drive(wait_for_server(timeout))

    async def get_service_info(self, *, deadline: float | None = None) -> ServiceInfo:
        """As ``Client.get_service_info``."""
        return await self._drive(get_service_info(self._operations.limit(deadline)))

    async def load_model(self, name: str, *, deadline: float | None = None) -> None:
        """As ``Client.load_model``."""
        await self._drive(self._operations.load_model(name, deadline))

    async def unload_model(self, name: str, *, deadline: float | None = None) -> None:
        """As ``Client.unload_model``."""
        await self._drive(self._operations.unload_model(name, deadline))

    async def statistics(
        self, name: str, version: str | int = "", *, deadline: float | None = None
    ) -> ModelStatistics:
        """As ``Client.statistics``."""
        return await self._drive(self._operations.statistics(name, version, deadline))

    def stats(self) -> ClientStats:
        """As ``Client.stats``; nothing to wait for."""
        return self._operations.observer.recorder.snapshot()

    @property
    def transport(self) -> Transport:
        """As ``Client.transport``."""
        return self._operations.shared_memory.transport

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        if self._transport is not None and not self._closed:
            await self._drive(self._operations.shared_memory.close())
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({str(self._address)!r})"

    async def _drive(self, operation: Operation[T]) -> T:
        if self._closed:
            raise ClientClosed(f"{self!r} is closed; make a new one")
        if self._transport is None:
            self._transport = _transport(self._address)
        transport = self._transport
        try:
            step = next(operation)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = operation.send(None)
                    continue
                try:
                    answer = await transport.perform(step)
                except (NosClientError, RuntimeError, asyncio.CancelledError) as error:
                    # What close() does to calls in flight: gRPC cancels them, aiohttp complains.
                    if self._closed and isinstance(step, Call) and not _is_cancelled(error):
                        raise ClientClosed(f"{self!r} was closed before the answer") from error
                    if not isinstance(error, NosClientError):
                        raise
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is for the task itself; what Python before 3.11 cannot tell is taken for that."""
    cancelling = getattr(asyncio.current_task(), "cancelling", lambda: 1)
    return isinstance(error, asyncio.CancelledError) and cancelling() > 0


class _AsyncTransport(Protocol):
    async def perform(self, call: Call | Turn) -> Any: ...

    async def close(self) -> None: ...


def _transport(address: Address) -> _AsyncTransport:
    # Imported here: each protocol's libraries take longer to import than all of nosclient.
    if address.scheme == "grpc":
        from nosclient._transport_grpc import AsyncGrpcTransport

        return AsyncGrpcTransport(address)
    if address.scheme == "fake":
        from nosclient.testing._fake_transport import AsyncFakeTransport

        return AsyncFakeTransport(address)
    from nosclient._transport_http import AsyncHttpTransport

    return AsyncHttpTransport(address)
