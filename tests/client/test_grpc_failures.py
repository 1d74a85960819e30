"""What gRPC itself says, with statuses that are Triton's too: of a server that answers badly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import pytest

from nosclient import AsyncClient, Client, InferenceFailed, ServerError, ServerUnavailable

DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
END, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload):
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def header(name, value):
    return b"".join([b"\0", bytes([len(name)]), name, bytes([len(value)]), value])


BEGIN = header(b":status", b"200") + header(b"content-type", b"application/grpc")
WELL = header(b"grpc-status", b"0")


def reset(code):
    return lambda stream: frame(RESET, 0, stream, struct.pack(">I", code))


def reset_after_the_headers(stream):
    return frame(HEADERS, END_HEADERS, stream, BEGIN) + reset(2)(stream)


def message(content, compressed=0):
    framed = bytes([compressed]) + struct.pack(">I", len(content)) + content
    return lambda stream: (
        frame(HEADERS, END_HEADERS, stream, BEGIN)
        + frame(DATA, 0, stream, framed)
        + frame(HEADERS, END_HEADERS | END, stream, WELL)
    )


def only(*headers):
    return lambda stream: frame(HEADERS, END_HEADERS | END, stream, b"".join(headers))


def page(stream):
    start = header(b":status", b"200") + header(b"content-type", b"text/html")
    return frame(HEADERS, END_HEADERS, stream, start) + frame(DATA, END, stream, b"<html>")


def status(code):
    return only(header(b":status", code), header(b"content-type", b"text/html"))


@contextlib.contextmanager
def server(reply):
    """Answers every call with the frames that ``reply`` makes for its stream."""
    open_ones = []

    def converse(connection):
        with contextlib.suppress(OSError), connection.makefile("rb") as incoming:
            incoming.read(24)
            connection.sendall(frame(SETTINGS, 0, 0, b""))
            while len(head := incoming.read(9)) == 9:
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                payload = incoming.read(size)
                if kind in (SETTINGS, PING) and not flags & END:
                    connection.sendall(frame(kind, END, 0, payload if kind == PING else b""))
                elif kind == DATA and flags & END:
                    connection.sendall(reply(int.from_bytes(head[5:], "big")))

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_ones.append(connection)
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"grpc://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


# A model's signature is known before it is run: the first call of all is the one that fails.
def ask(url, kind, method, *arguments):
    if kind == "blocking":
        with Client(url, deadline=20, retries=0) as client:
            know(client)
            return getattr(client, method)(*arguments)

    async def main():
        async with AsyncClient(url, deadline=20, retries=0) as client:
            know(client)
            return await getattr(client, method)(*arguments)

    return asyncio.run(main())


def know(client):
    from nosclient._model_info import parse_signature

    tensor = {"name": "x", "datatype": "FP32", "shape": [1]}
    found = {"name": "m", "inputs": [tensor], "outputs": [tensor]}
    client._operations._signatures["m", ""] = parse_signature(found, {})


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (reset(0), ServerUnavailable, "broke off"),
        (reset(1), ServerUnavailable, "broke off"),
        (reset(2), ServerUnavailable, "broke off"),
        (reset(8), ServerUnavailable, "broke off"),
        (reset_after_the_headers, ServerUnavailable, "broke off"),
        (page, ServerUnavailable, "broke off"),
        (status(b"500"), ServerUnavailable, "HTTP 500 in place of gRPC"),
        (status(b"502"), ServerUnavailable, "502"),
        (status(b"400"), ServerError, "HTTP 400 in place of gRPC"),
        (status(b"404"), ServerError, "HTTP 404 in place of gRPC"),
        (message(b"\xff\xffgarbage"), ServerError, "no Triton server says"),
        (message(b"x", compressed=1), ServerError, "no Triton server says"),
        (only(BEGIN, WELL), ServerError, "no Triton server says"),
    ],
)
@pytest.mark.parametrize(
    ("method", "arguments"),
    [("run", ("m", {"x": [1.0]})), ("list_models", ()), ("load_model", ("m",))],
)
def test_failures_of_grpcs_own(kind, reply, error, words, method, arguments):
    with server(reply) as url, pytest.raises(error, match=words) as caught:
        ask(url, kind, method, *arguments)
    assert url in caught.value.message


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_an_output_without_its_data(kind):
    output = b"\x2a\x09\x0a\x01y\x12\x04FP32"
    with server(message(output)) as url, pytest.raises(ServerError, match="no Triton server says"):
        ask(url, kind, "run", "m", {"x": [1.0]})


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
@pytest.mark.parametrize("code", [b"13", b"2", b"12", b"1"])
def test_what_a_model_says_is_still_its_own(kind, code):
    said = only(BEGIN, header(b"grpc-status", code), header(b"grpc-message", b"out of ideas"))
    with server(said) as url, pytest.raises(InferenceFailed, match="out of ideas"):
        ask(url, kind, "run", "m", {"x": [1.0]})
