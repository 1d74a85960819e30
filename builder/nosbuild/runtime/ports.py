"""The ports a server listens on: those asked for, Triton's own where free, otherwise any free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from nosbuild.errors import HostError
from nosbuild.runtime.service_record import running_services

_TRITON = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""Triton's own default ports."""


@dataclass(frozen=True)
class Ports:
    """Port numbers; None in a request for ports: Triton's own, or any free one."""

    http: int | None = None
    grpc: int | None = None
    metrics: int | None = None


@dataclass(frozen=True)
class ChosenPorts:
    """Port numbers that were free a moment ago."""

    http: int
    grpc: int
    metrics: int
    taken: Mapping[int, str] = field(default_factory=dict)
    """Triton's own ports that were wanted and not free -> `` by <whom>``, empty if unknown."""


def choose_ports(host: str, asked: Ports, *, prefer_triton: bool = True) -> ChosenPorts:
    """Free ports for a server that listens on ``host``.

    Args:
        host: the address to listen on.
        asked: the ports that must be taken as they are; None where any will do.
        prefer_triton: take 8000, 8001 and 8002 where they are free and nothing else was asked.

    Raises:
        HostError: a port that was asked for is in use, or the address is not this machine's.
    """
    chosen: dict[str, int] = {}
    taken: dict[int, str] = {}
    with ExitStack() as held:  # so that no port is chosen twice
        for name, preferred in _TRITON.items():
            port = getattr(asked, name)
            if port:
                held.enter_context(_bound(host, port))
                chosen[name] = port
                continue
            listening = None
            if port is None and prefer_triton:
                listening = _bound_if_free(host, preferred)
                if listening is None:
                    taken[preferred] = _owner(preferred)
            listening = held.enter_context(listening or _bound(host, 0))
            chosen[name] = int(listening.getsockname()[1])
    return ChosenPorts(**chosen, taken=taken)


def _bound_if_free(host: str, port: int) -> socket.socket | None:
    try:
        return _bind(host, port)
    except OSError:
        return None


def _bound(host: str, port: int) -> socket.socket:
    try:
        return _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise HostError(
                f"port {port} on {host} is in use{_owner(port)}",
                "Choose another port, or none: a free one is then found.",
            ) from error
        if error.errno == errno.EACCES:
            raise HostError(
                f"port {port} on {host} is not allowed for this user",
                "Choose a port above 1023.",
            ) from error
        raise HostError(
            f"cannot listen on {host}: {error}", "Use 127.0.0.1, or 0.0.0.0 for every network."
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket()
    try:
        # Connections of a server that has just ended do not count as use.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # On Linux two sockets with this option may share a port until one of them listens.
        bound.listen(1)
    except OSError:
        bound.close()
        raise
    return bound


def _owner(port: int) -> str:
    """`` by <name> (pid <pid>)`` where the system tells; a service of ours by its repository."""
    import psutil

    for record in running_services():
        urls = (record.http_url, record.grpc_url, record.metrics_url.removesuffix("/metrics"))
        if any(url.endswith(f":{port}") for url in urls):
            return f" by the service on {record.repository} (pid {record.pid})"
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.laddr
                and connection.laddr.port == port
                and connection.status == psutil.CONN_LISTEN
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        # Other users' processes are hidden on some systems; the port is still named.
        return ""
    return ""
