"""A url as people write it in, scheme and host and port out."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast
from urllib.parse import urlsplit

from nosclient._errors import InvalidInput

_PORTS = {"grpc": 8001, "http": 8000, "fake": 0}


class Address(NamedTuple):
    """Where a server listens."""

    scheme: Literal["grpc", "http", "fake"]
    """``fake`` is a ``nosclient.testing.FakeServer``, which its port tells from others."""
    host: str
    port: int
    path: str
    """Prefix of every HTTP path, without a slash at its end; empty as a rule."""

    @property
    def netloc(self) -> str:
        """``host:port``, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse_address(url: str) -> Address:
    """Read ``host:port``, ``grpc://host:port`` or ``http://host:port[/prefix]``.

    Without a scheme it is gRPC; without a port Triton's own, 8001 for gRPC and 8000 for HTTP.

    Raises:
        InvalidInput: anything else.
    """
    try:
        parts = urlsplit(url if "://" in url else f"grpc://{url}")
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url!r} is no url ({error}); write grpc://host:8001") from None
    path = parts.path.rstrip("/")
    if parts.scheme not in _PORTS:
        raise InvalidInput(
            f"{url!r} has the scheme {parts.scheme!r}; write grpc://host:8001 or http://host:8000"
        )
    if not parts.hostname or parts.query or parts.username or (path and parts.scheme == "grpc"):
        raise InvalidInput(f"{url!r} is no server's url; write {parts.scheme}://host:port")
    scheme = cast('Literal["grpc", "http", "fake"]', parts.scheme)
    return Address(scheme, parts.hostname, port or _PORTS[scheme], path)
