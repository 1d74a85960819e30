"""Connections that break while the server works on; and what is never sent to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import numpy as np
import pytest

from nosclient import Client, InvalidInput, ServerUnavailable
from nosclient.testing import FakeServer

SIZE = 1 << 19


class Way:
    """A way to a server that can be cut; it opens again at once."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self._carriers: list[threading.Thread] = []
        self.sent = 0  # bytes, to the server
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for carrier in self._carriers:
            carrier.join(10)
        for end in self._all:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(self._server)
            self._open += [here, there]
            self._all += [here, there]
            for way in ((here, there, True), (there, here, False)):
                carrier = threading.Thread(target=self._carry, args=way, daemon=True)
                self._carriers.append(carrier)
                carrier.start()

    def _carry(self, one: socket.socket, other: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
                self.sent += len(data) * is_request
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def way(url):
    host, port = url.rpartition("://")[2].split(":")
    made = Way(host, int(port))
    yield made
    made.close()


def late(client, x, seconds=0.0, **more):
    return client.run("late", {"x": x, "seconds": [seconds]}, **more)["y"]


def connected_again(client, x):
    """The answer, though the first request may still have gone out on what was cut."""
    patience = time.monotonic() + 30
    while True:
        try:
            return late(client, x)
        except ServerUnavailable:
            if time.monotonic() > patience:
                raise


@pytest.mark.parametrize("retries", [0, 2])
def test_memory_of_a_lost_request_is_not_used_again(url, way, retries):
    x = np.random.default_rng(0).random(SIZE, np.float32)
    scheme = url.partition("://")[0]
    lost: list[object] = []
    with Client(
        f"{scheme}://127.0.0.1:{way.port}", deadline=30, shared_memory="system", retries=retries
    ) as client:
        late(client, x)

        def ask() -> None:
            try:
                lost.append(late(client, x, 1.0))
            except ServerUnavailable as error:
                lost.append(error)

        asking, before = threading.Thread(target=ask), way.sent
        asking.start()
        while way.sent < before + 100:  # more than a word of the protocol's own
            assert asking.is_alive()
            time.sleep(0.01)
        time.sleep(0.4)  # the model is at work on it
        way.cut()
        answers = [connected_again(client, x + number) for number in range(4)]
        asking.join()
        late(client, x)  # behind all of them in the model's queue
        for number, answer in enumerate(answers):
            np.testing.assert_array_equal(answer, 2 * (x + number))
    if retries:
        np.testing.assert_array_equal(lost[0], 2 * x)
    else:
        assert isinstance(lost[0], ServerUnavailable)
        assert lost[0].was_sent


def test_system_tells_what_is_wrong_with_the_server(dead_url):
    x = np.zeros(SIZE, np.float32)
    client = Client(dead_url, shared_memory="system", retries=0)
    with client, pytest.raises(ServerUnavailable):
        late(client, x)


@pytest.mark.parametrize(
    "more", [{"priority": -1}, {"parameters": {"seed": 2**63}}, {"parameters": {"t": object()}}]
)
def test_what_the_protocol_cannot_carry(url, more):
    with Client(url, deadline=30) as client, pytest.raises(InvalidInput):
        client.run("echo", {"int8": [[1]]}, **more)


@pytest.mark.parametrize("headers", [{1: "x"}, {"x-bin": "x"}, {"a b": "x"}])
def test_headers_that_grpc_does_not_take(headers):
    with pytest.raises(InvalidInput, match="is no header's name"):
        Client("localhost", headers=headers)


def test_a_fake_server_sees_tokens_and_headers():
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def same(x):
        return {"y": x}

    with server.client(token="secret", headers={"Team": "a"}) as client:
        client.run("same", {"x": [1.0]})
    headers = server.requests[-1].headers  # where others trace in this process, a trace's too
    assert headers.items() >= {"authorization": "Bearer secret", "team": "a"}.items()
