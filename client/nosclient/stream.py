"""The answers of a model that streams, one after the other, blocking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy.typing as npt

from nosclient._address import Address
from nosclient._call import Operation
from nosclient._errors import InvalidInput
from nosclient._stream_session import StreamSession

Chunk = Mapping[str, npt.NDArray[Any]]


class Stream:
    """An iterator of chunks, each a mapping of an output's name to its array.

    The server stops its work for it when it is cancelled, left (``with``), or forgotten. It is
    read by one thread at a time; any thread may cancel it.

    >>> with client.stream("chat", {"prompt": "Hello"}) as chunks:
    ...     for chunk in chunks:
    ...         print(chunk["output"].item().decode())
    """

    def __init__(
        self, drive: Callable[[Operation[Any]], Any], session: StreamSession, address: Address
    ) -> None:
        check_protocol(address)
        self._drive = drive
        self._session = session
        self._drive(session.open())

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        try:
            chunk: Chunk | None = self._drive(self._session.advance())
        except BaseException:
            self._session.cancel()
            raise
        if chunk is None:
            raise StopIteration
        return chunk

    def cancel(self) -> None:
        """Tell the server to stop; nothing more comes, also to a thread that waits for a chunk."""
        self._session.cancel()

    def close(self) -> None:
        """The same; nothing if the stream has ended."""
        self._session.cancel()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} {self._session}>"

    def __del__(self) -> None:
        # At the program's end gRPC's threads stand still, perhaps with a lock that cancelling
        # takes; and it was refused at once where there is no session.
        if hasattr(self, "_session") and not sys.is_finalizing():
            self._session.cancel()


def check_protocol(address: Address) -> None:
    """Refuse what cannot carry a stream.

    Raises:
        InvalidInput: HTTP.
    """
    if not address.can_stream:
        raise InvalidInput(
            f"{address} cannot stream: HTTP carries one answer a request; make the client with the "
            f"server's gRPC address, Client('grpc://{address.host}:8001')"
        )
