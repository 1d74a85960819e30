"""Urls as people write them in, scheme and host and port of each server out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, cast
from urllib.parse import urlsplit

from nosclient._errors import InvalidInput

Scheme = Literal["grpc", "grpcs", "http", "https", "fake"]
"""``fake`` is a ``nosclient.testing.FakeServer``, which its port tells from others."""
_PORTS = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443, "fake": 0}
_FAMILIES = ("ipv4:", "ipv6:")


class Address(NamedTuple):
    """Where a server listens."""

    scheme: Scheme
    host: str
    port: int
    path: str
    """Prefix of every HTTP path, without a slash at its end; empty as a rule."""

    @property
    def netloc(self) -> str:
        """``host:port``, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_grpc(self) -> bool:
        """Whether gRPC is spoken there, with TLS or without; HTTP otherwise."""
        return self.scheme in ("grpc", "grpcs")

    @property
    def can_stream(self) -> bool:
        """Whether one request may have many answers there."""
        return self.is_grpc or self.scheme == "fake"

    @property
    def is_secure(self) -> bool:
        """Whether TLS is."""
        return self.scheme in ("grpcs", "https")

    @property
    def is_loopback(self) -> bool:
        """Whether nothing that is sent there leaves this machine."""
        import ipaddress  # here, for its share of the time that ``import nosclient`` takes

        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse_addresses(url: str | Sequence[str], *, is_secure: bool = False) -> tuple[Address, ...]:
    """Read one url, several, or gRPC's form for several, ``ipv4:10.0.0.1:8001,10.0.0.2:8001``.

    Args:
        url: each as ``parse_address`` takes it.
        is_secure: what is written without a scheme is ``grpcs://``.

    Raises:
        InvalidInput: none, the same one twice, or not all of one scheme.
    """
    if isinstance(url, bytes | bytearray | Mapping) or not isinstance(url, Iterable):
        found = type(url).__name__
        raise InvalidInput(f"the url is of type {found}; write grpc://host:8001, or a list of such")
    urls = _split(url) if isinstance(url, str) else list(url)
    addresses = tuple(parse_address(each, is_secure=is_secure) for each in urls)
    if not addresses:
        raise InvalidInput("no url is given; write grpc://host:8001")
    if len({address.scheme for address in addresses}) > 1:
        raise InvalidInput(
            f"{', '.join(map(str, addresses))} are of several schemes; write grpc:// (or another) "
            "before all of them"
        )
    if len(set(addresses)) < len(addresses):
        raise InvalidInput(f"{', '.join(map(str, addresses))}: one is given twice; write each once")
    return addresses


def parse_address(url: str, *, is_secure: bool = False) -> Address:
    """Read ``host:port``, ``grpc[s]://host:port`` or ``http[s]://host:port[/prefix]``.

    Without a scheme it is gRPC; without a port Triton's own, 8001 for gRPC and 8000 for HTTP, and
    443 for https.

    Raises:
        InvalidInput: anything else.
    """
    if not isinstance(url, str):
        raise InvalidInput(f"a url is of type {type(url).__name__}; write grpc://host:8001")
    default = "grpcs" if is_secure else "grpc"
    try:
        parts = urlsplit(url if "://" in url else f"{default}://{url}")
        port = parts.port
    except ValueError as error:
        # The url itself is not shown: what cannot be read may hold a password.
        raise InvalidInput(f"this is no url ({_safe(error)}); write grpc://host:8001") from None
    path = parts.path.rstrip("/")
    if parts.scheme not in _PORTS:
        raise InvalidInput(
            f"the url has the scheme {parts.scheme!r}; write grpc://host:8001 or http://host:8000, "
            "or grpcs:// or https:// for TLS"
        )
    if parts.username or parts.password:
        raise InvalidInput(
            f"a url that holds a name or a password; write {parts.scheme}://host:port and "
            'headers={"authorization": "Basic ..."}'
        )
    if not parts.hostname or parts.query or (path and parts.scheme.startswith("grpc")):
        raise InvalidInput(f"{url!r} is no server's url; write {parts.scheme}://host:port")
    if path == "/v2":
        kept = f"{parts.scheme}://{parts.netloc}"
        raise InvalidInput(f"{url!r} ends with /v2, which is added to every url; write {kept}")
    if port == 0 and parts.scheme != "fake":
        raise InvalidInput(f"{url!r} has the port 0, at which nobody can listen; write another")
    scheme = cast("Scheme", parts.scheme)
    return Address(scheme, parts.hostname, port or _PORTS[scheme], path)


def _safe(error: Exception) -> str:
    return "its port is no number from 0 to 65535" if "ort" in str(error) else type(error).__name__


def _split(url: str) -> list[str]:
    for family in _FAMILIES:
        if url.startswith(family):
            return [part for part in url.removeprefix(family).lstrip("/").split(",") if part]
    return [url]
