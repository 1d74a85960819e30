"""A closed-loop load generator over HTTP that costs the server's processors next to nothing.

One thread, non-blocking sockets, one prepared request: about 20 us of Python a request. Each
connection sends its next request when its answer is complete.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput


@dataclass(frozen=True)
class Load:
    """What one run of the generator saw."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def prepared_request(
    url: str, model: str, inputs: dict[str, np.ndarray], outputs: list[str]
) -> bytes:
    """A whole HTTP request with the tensors in Triton's binary form."""
    tensors = []
    for name, array in inputs.items():
        kind = {"int64": "INT64", "float32": "FP32", "object": "BYTES"}[str(array.dtype)]
        tensor = InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array, binary_data=True)
        tensors.append(tensor)
    wanted = [InferRequestedOutput(name, binary_data=True) for name in outputs]
    body, header_length = InferenceServerClient.generate_request_body(tensors, outputs=wanted)
    head = [
        f"POST /v2/models/{model}/infer HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/octet-stream",
        f"Content-Length: {len(body)}",
    ]
    if header_length is not None:
        head.append(f"Inference-Header-Content-Length: {header_length}")
    return "\r\n".join([*head, "", ""]).encode() + bytes(body)


def load(url: str, request: bytes, connections: int, seconds: float) -> Load:
    """Keep ``connections`` requests in flight for that long.

    Raises:
        RuntimeError: any answer but 200.
    """
    address = (urlsplit(url).hostname, urlsplit(url).port)
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(address) for _ in range(connections)]
    buffers: dict[socket.socket, bytes] = {}
    started: dict[socket.socket, float] = {}
    times: list[float] = []
    for connection in sockets:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        buffers[connection] = b""
        started[connection] = time.perf_counter()
        connection.sendall(request)
    begin = time.perf_counter()
    end = begin + seconds
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(timeout=max(0.0, end - now)):
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            buffers[connection] += connection.recv(1 << 18)
            if not _is_complete(buffers[connection]):
                continue
            buffers[connection] = b""
            done = time.perf_counter()
            times.append(done - started[connection])
            started[connection] = done
            connection.sendall(request)
    elapsed = time.perf_counter() - begin
    for connection in sockets:
        connection.close()
    return Load(
        len(times) / elapsed,
        1000 * float(np.percentile(times, 50)),
        1000 * float(np.percentile(times, 99)),
    )


def in_turn(url: str, requests: list[bytes], seconds: float) -> list[float]:
    """Send the requests one after the other, over and over; ms that each round of them took.

    Raises:
        RuntimeError: any answer but 200, or a connection that was closed.
    """
    address = (urlsplit(url).hostname, urlsplit(url).port)
    times: list[float] = []
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            for request in requests:
                connection.sendall(request)
                answer = b""
                while not _is_complete(answer):
                    part = connection.recv(1 << 18)
                    if not part:
                        raise RuntimeError("the server closed the connection")
                    answer += part
            times.append(1000 * (time.perf_counter() - begun))
    return times


def _is_complete(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer[:500].decode(errors="replace"))
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return len(body) >= length
