"""The answers of a model that streams, one after the other, for an event loop."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from nosclient._address import Address
from nosclient._call import Operation
from nosclient._stream_session import StreamSession
from nosclient.stream import Chunk, check_protocol


class AsyncStream:
    """An asynchronous iterator of chunks; nothing is sent before the first is asked for.

    The server stops its work for it when it or the task that reads it is cancelled, when it is
    left (``async with``), or forgotten.
    """

    def __init__(
        self,
        drive: Callable[[Operation[Any]], Awaitable[Any]],
        session: StreamSession,
        address: Address,
    ) -> None:
        check_protocol(address)
        self._drive = drive
        self._session = session
        self._is_open = False

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        try:
            if not self._is_open:
                self._is_open = True
                await self._drive(self._session.open())
            chunk: Chunk | None = await self._drive(self._session.advance())
        except BaseException:
            self._session.cancel()
            raise
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def cancel(self) -> None:
        """Tell the server to stop; nothing more comes, also to a task that waits for a chunk."""
        self._session.cancel()

    async def close(self) -> None:
        """The same; nothing if the stream has ended."""
        self._session.cancel()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} {self._session}>"

    def __del__(self) -> None:
        if hasattr(self, "_session") and not sys.is_finalizing():  # as in Stream
            self._session.cancel()
