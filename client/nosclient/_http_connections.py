"""HTTP/1.1 connections that any thread may borrow.

tritonclient's blocking HTTP client belongs to the one thread that made it: its sockets live on
that thread's gevent loop, and each such loop keeps a native thread and two file descriptors for
ever, also when the Python thread is gone. So tritonclient only encodes and decodes here, and the
bytes travel over the standard library's connections.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import NamedTuple

from nosclient._address import Address
from nosclient._call import Deadline
from nosclient._error_map import NotConnected

_PIECE = 1 << 20
_CONNECT_SECONDS = 5.0
"""Longest wait for a connection: where a host is gone there is no answer at all, and another server
may be there."""


class Reply(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str] | HTTPMessage
    body: bytes | bytearray


class HttpConnections:
    """Open connections to one server; grows with the number of requests in flight."""

    def __init__(self, address: Address, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._context = context
        self._idle: deque[HTTPConnection] = deque()
        self._is_closed = False

    def request(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float | None,
    ) -> Reply:
        """Send one request and read its response, all within ``timeout`` seconds.

        Raises:
            TimeoutError: it took longer.
            NotConnected: no connection, so that nothing was sent.
            OSError, http.client.HTTPException: it broke.
        """
        deadline = Deadline(timeout)
        connection = self._borrow()
        try:
            _limit(connection, deadline)
            if connection.sock is None:
                _connect(connection, deadline)
            connection.request(method, self._address.path + path, body, dict(headers))
            _limit(connection, deadline)
            response = connection.getresponse()
            content = _read(connection, response, deadline)
        except BaseException:
            connection.close()  # what is left of the response must not meet the next request
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
            if self._is_closed:  # meanwhile
                self.close()
        return Reply(response.status, response.headers, content)

    def close(self) -> None:
        """Close every idle connection; those in use are closed when they are given back."""
        self._is_closed = True
        while True:
            try:
                self._idle.popleft().close()
            except IndexError:
                return

    def _borrow(self) -> HTTPConnection:
        while True:
            try:
                # The one used last: the others grow old and are dropped by the server.
                connection = self._idle.pop()
            except IndexError:
                return self._new()
            if _is_alive(connection.sock):
                return connection
            connection.close()

    def _new(self) -> HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._context is None:
            return HTTPConnection(host, port)
        return HTTPSConnection(host, port, context=self._context)


def connect_seconds(deadline: Deadline) -> float:
    """How long a connection may take to come about.

    Half of what is left at most: another server, if there is one, wants its time as well.
    """
    remaining = deadline.remaining()
    return _CONNECT_SECONDS if remaining is None else min(_CONNECT_SECONDS, remaining / 2)


def _connect(connection: HTTPConnection, deadline: Deadline) -> None:
    patience = connect_seconds(deadline)
    connection.timeout = patience
    try:
        connection.connect()
    except TimeoutError as error:
        raise NotConnected(f"no connection within {patience:.3g} s") from error
    except OSError as error:
        raise NotConnected(str(error)) from error
    _limit(connection, deadline)


def _is_alive(sock: socket.socket | None) -> bool:
    # Something to read on an idle connection is the server's goodbye.
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def _limit(connection: HTTPConnection, deadline: Deadline) -> None:
    remaining = deadline.remaining()
    if remaining == 0:
        raise TimeoutError("the deadline has passed")
    connection.timeout = remaining
    if connection.sock is not None:
        connection.sock.settimeout(remaining)


def _read(
    connection: HTTPConnection, response: HTTPResponse, deadline: Deadline
) -> bytes | bytearray:
    if response.length is None:  # chunked, or up to the end of the connection
        return response.read()
    content = bytearray(response.length)
    done = 0
    while done < len(content):
        _limit(connection, deadline)
        # One read of the socket at a time: readinto() goes on until the piece is full, and the
        # socket's timeout starts again with each byte that trickles in.
        piece = response.read1(_PIECE)
        if not piece:
            raise ConnectionResetError(f"connection closed after {done} of {len(content)} bytes")
        content[done : done + len(piece)] = piece
        done += len(piece)
    response.read()  # marks the response as finished, also an empty one
    return content
