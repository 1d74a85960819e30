"""An address goes in; what carries a client's calls there comes out.

Each protocol's libraries are imported with its first client: they take longer to import than all of
nosclient.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from nosclient._address import Address
from nosclient._call import Call, Turn
from nosclient._credentials import Credentials


class BlockingTransport(Protocol):
    """Of ``Client``; any number of threads may use it at once."""

    def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""

    def close(self) -> None:
        """Close the connections."""


class AsyncTransport(Protocol):
    """Of ``AsyncClient``, on its event loop."""

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""

    async def close(self) -> None:
        """Close the connections."""

    async def abandon(self) -> None:
        """Let go of them on another loop, once the one that they belonged to is closed."""


_left_behind: list[Any] = []


def leave_behind(transports: Sequence[BlockingTransport | AsyncTransport]) -> None:
    """In the child of a fork: what the parent goes on with; closing it here would hang."""
    _left_behind.extend(transports)


class BlockingTransports(dict[int, BlockingTransport]):
    """One for each server, by its number; those of gRPC are made when they are first asked for.

    gRPC starts threads with its first channel. Until then a client may be made before a fork and
    called after it, as servers do that load a program once for all their workers.
    """

    def __init__(self, addresses: Sequence[Address], credentials: Credentials) -> None:
        super().__init__()
        self._addresses, self._credentials = addresses, credentials
        self._is_closed = False
        self.begin_anew()

    def __missing__(self, number: int) -> BlockingTransport:
        with self._lock:
            if (made := self.get(number)) is None:
                if self._is_closed:
                    raise ValueError("the client is closed")
                made = blocking_transport(self._addresses[number], self._credentials)
                self[number] = made
            return made

    def begin_anew(self) -> None:
        """In the child of a fork: with connections of its own."""
        self._lock = threading.Lock()
        for number, address in enumerate(self._addresses):
            if address.is_grpc:
                import nosclient._transport_grpc  # noqa: F401 - not within the first call's time

                if (old := self.pop(number, None)) is not None:
                    leave_behind([old])
            elif address.scheme != "fake" or number not in self:
                if (old := self.get(number)) is not None:
                    old.close()  # the child's end of them only
                self[number] = blocking_transport(address, self._credentials)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._is_closed = True
        for transport in list(self.values()):
            transport.close()


def blocking_transport(address: Address, credentials: Credentials) -> BlockingTransport:
    """To one server; it connects with the first call."""
    if address.is_grpc:
        from nosclient._transport_grpc import GrpcTransport

        return GrpcTransport(address, credentials)
    if address.scheme == "fake":
        from nosclient.testing._fake_transport import FakeTransport

        return FakeTransport(address, credentials)
    from nosclient._transport_http import HttpTransport

    return HttpTransport(address, credentials)


def async_transport(address: Address, credentials: Credentials) -> AsyncTransport:
    """To one server, for the event loop that runs now; it connects with the first call."""
    if address.is_grpc:
        from nosclient._transport_grpc import AsyncGrpcTransport

        return AsyncGrpcTransport(address, credentials)
    if address.scheme == "fake":
        from nosclient.testing._fake_transport import AsyncFakeTransport

        return AsyncFakeTransport(address, credentials)
    from nosclient._transport_http import AsyncHttpTransport

    return AsyncHttpTransport(address, credentials)
