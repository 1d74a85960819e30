"""The HTTP connections against servers that behave badly, on real sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from nosclient import Client, DeadlineExceeded, ServerError, ServerUnavailable

INDEX = b'[{"name":"m"}]'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(INDEX), INDEX)


@contextmanager
def server(behave):
    """Runs ``behave(connection, number)`` for each connection, in order."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                behave(connection, number)
            number += 1

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_connection_that_the_server_dropped_is_replaced():
    dropped = threading.Semaphore(0)

    def once_each(connection, _):
        connection.recv(65536)
        connection.sendall(ANSWER)
        connection.shutdown(socket.SHUT_RDWR)
        dropped.release()

    with server(once_each) as url, Client(url, deadline=10) as client:
        for _ in range(3):
            assert client.list_models()[0].name == "m"
            dropped.acquire()


def test_the_deadline_bounds_an_answer_that_trickles_in():
    stop = threading.Event()

    def trickle(connection, _):
        connection.recv(65536)
        ends = time.monotonic() + 60  # a client that waits for all of it gets another error
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02) and time.monotonic() < ends:
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with server(trickle) as url, Client(url) as client:
        try:
            with pytest.raises(DeadlineExceeded):
                client.list_models(deadline=0.3)
        finally:
            stop.set()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", ServerUnavailable, "is the server running"),
        (b"SSH-2.0-OpenSSH\r\n", ServerUnavailable, "SSH"),
        (ANSWER[:-3], ServerUnavailable, "closed"),
        (b"HTTP/1.1 418 No\r\nContent-Length: 6\r\n\r\nteapot", ServerError, "418: teapot"),
    ],
)
def test_answers_that_are_none(answer, error, words):
    def reply(connection, _):
        connection.recv(65536)
        connection.sendall(answer)

    with (
        server(reply) as url,
        Client(url, deadline=10) as client,
        pytest.raises(error, match=words),
    ):
        client.list_models()


def test_no_answer_at_all():
    told = threading.Event()
    with server(lambda connection, _: told.wait(60)) as url, Client(url) as client:
        try:
            with pytest.raises(DeadlineExceeded):
                client.list_models(deadline=0.2)
        finally:
            told.set()
