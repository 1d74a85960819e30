"""The asynchronous client: the face of ``Client`` with await, over the same operations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

import numpy.typing as npt

from nosclient._after_fork import call_in_child, lose_grpc
from nosclient._call import Call, Operation, Pause, T
from nosclient._credentials import Token
from nosclient._errors import ClientClosed, NosClientError, WrongEventLoop
from nosclient._model_handle import CallOptions, describe
from nosclient._model_info import ModelInfo, ModelStatistics, ModelSummary
from nosclient._operations import Operations
from nosclient._retry import RETRIES
from nosclient._routing import Routing
from nosclient._sequence_session import SequenceSession
from nosclient._service import ServiceInfo, get_service_info, is_healthy, wait_for_server
from nosclient._settings import Settings, not_pickled
from nosclient._stats import ClientStats
from nosclient._stream_session import StreamSession
from nosclient._tls import TLS
from nosclient._transport_kind import Mode, Transport
from nosclient._transports import AsyncTransport, async_transport, leave_behind
from nosclient.async_model import AsyncModel
from nosclient.async_sequence import AsyncModelSequence
from nosclient.async_stream import AsyncStream


class AsyncClient:
    """Calls a Triton server from one event loop; arguments, results and errors as in Client.

    It belongs to the loop of its first call, and once that is closed (the end of ``asyncio.run``)
    to the loop of the next one. From another loop before that it raises WrongEventLoop.
    """

    def __init__(
        self,
        url: str | Sequence[str] = "localhost:8001",
        *,
        deadline: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        restricted_keys: Mapping[str, str] | None = None,
        shared_memory: Mode = "off",
        strict: bool = True,
    ) -> None:
        self._settings = Settings.of(
            url,
            deadline=deadline,
            retries=retries,
            tls=tls,
            token=token,
            headers=headers,
            restricted_keys=restricted_keys,
            shared_memory=shared_memory,
            strict=strict,
        )
        self._operations = Operations(self._settings)
        self._routing = Routing(self._settings.addresses, retries)
        # Made with the first call: both libraries bind to the event loop that runs then.
        self._transports: list[AsyncTransport] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        call_in_child(self, AsyncClient._begin_anew)

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
        return await self._infer(name, inputs, outputs, version, deadline, priority, parameters)

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
        return AsyncModel(
            self._drive, self._infer, self._operations, self._settings.addresses[0], facts
        )

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
        return AsyncStream(self._drive, session, self._settings.addresses[0])

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
        if self._transports and not self._closed:
            await self._drive(self._operations.shared_memory.close())
        self._closed = True
        transports, self._transports = self._transports, []
        for transport in transports:
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
        return f"AsyncClient({self._settings})"

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

    def _begin_anew(self) -> None:
        """In the child of a fork: what the event loop and the server know is the parent's."""
        self._routing = Routing(self._settings.addresses, self._settings.retries)
        self._operations.begin_anew()
        if self._transports and self._settings.addresses[0].is_grpc:
            lose_grpc()
        leave_behind(self._transports)
        self._transports, self._loop = [], None

    async def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make connections for the loop that runs; those that a closed one left are dropped."""
        if self._loop is not None and not self._loop.is_closed():
            raise WrongEventLoop(
                f"{self!r} belongs to another event loop, which is not closed; make an AsyncClient "
                "for each event loop, or use Client, which any thread may call"
            )
        made = [
            async_transport(address, self._settings.credentials)
            for address in self._settings.addresses
        ]
        left, self._transports, self._loop = self._transports, made, loop
        for transport in left:
            await transport.abandon()

    async def _infer(self, *asked: Any, either: bool = False) -> dict[str, npt.NDArray[Any]]:
        """One inference: the usual one as straight as can be, any other as an operation."""
        is_open = self._loop is asyncio.get_running_loop() and not self._closed
        inference = self._operations.ready(*asked, either=either) if is_open else None
        if inference is None:
            return await self._drive(self._operations.run(*asked, either=either))
        try:
            answer = await self._transports[0].perform(inference.call)
        except BaseException as error:  # noqa: BLE001 - raised again, and told, by the operation
            failures = [error]
        else:
            self._routing.was_answered()
            return inference.answered(answer)
        return await self._drive(
            self._operations.resumed(inference, *asked, either=either), failures
        )

    async def _drive(
        self, operation: Operation[T], failures: list[BaseException] | None = None
    ) -> T:
        """What the operation comes to; its first call ended in the failure, if there is one."""
        if self._closed and not failures:
            raise ClientClosed(f"{self!r} is closed; make a new one")
        if self._loop is not (loop := asyncio.get_running_loop()) and not self._closed:
            await self._bind(loop)
        transports = self._transports
        routed = self._routing.routed(operation)
        try:
            step = next(routed)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = routed.send(None)
                    continue
                if self._closed and isinstance(step, Call) and not failures:
                    raise ClientClosed(f"{self!r} was closed before the answer")
                try:
                    if failures:
                        raise failures.pop()  # without a name here, it does not refer to itself
                    answer = await transports[step.endpoint].perform(step)
                except (NosClientError, RuntimeError, asyncio.CancelledError) as error:
                    # What close() does to calls in flight: gRPC cancels them, aiohttp complains.
                    if self._closed and isinstance(step, Call) and not _is_cancelled(error):
                        raise ClientClosed(f"{self!r} was closed before the answer") from error
                    if not isinstance(error, NosClientError):
                        raise
                    step = routed.throw(error)
                else:
                    step = routed.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            routed.close()


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is for the task itself; what Python before 3.11 cannot tell is taken for that."""
    cancelling = getattr(asyncio.current_task(), "cancelling", lambda: 1)
    return isinstance(error, asyncio.CancelledError) and cancelling() > 0
