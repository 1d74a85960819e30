"""An address goes in; what carries a client's calls there comes out.

Each protocol's libraries are imported with its first client: they take longer to import than all of
nosclient.
"""

from __future__ import annotations

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
