"""Many requests from many threads through one client: what is left over afterwards.

Memory, descriptors and shared memory of this process and of the server are counted once everything
that is kept for good is there, and again at the end: after as many answers as there are threads
were held at once, so that each had its regions, and after a fifth of the requests.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from support.same_model import write_same_model

import nosbuild
from nosclient import Client

THREADS = 64
SIZES = (16, 65_536)
"""Floats; the second goes through shared memory, with each sixteenth request."""


def main() -> None:
    """Serve, send, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            write_same_model(Path(folder), size)
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        with nosbuild.serve(Path(folder), **ports) as service:
            server = psutil.Process(service.pid)
            with Client(service.grpc_url, shared_memory="system") as client:
                _hold(client)
                wrong = _send(client, options.requests // 5)
                before = _held(server)
                wrong += _send(client, options.requests - options.requests // 5)
                after = _held(server)
                assert client.transport.kind == "system"
            gc.collect()
            closed = _held(server)
    table = Table(box=None, header_style="dim")
    for column in ("", "after a fifth", "at the end", "client closed"):
        table.add_column(column)
    for what in before:
        table.add_row(what, *(f"{held[what]:.0f}" for held in (before, after, closed)))
    Console().print(table)
    grown = {f"{what} grown": round(after[what] - before[what], 1) for what in before}
    print(json.dumps({"requests": options.requests, "threads": THREADS, "wrong": wrong, **grown}))


def _hold(client: Client) -> None:
    """As many large answers at once as there will ever be, and half as many again."""
    x = np.zeros((1, SIZES[1]), np.float32)
    held = [client.run(f"same_{SIZES[1]}", {"x": x}) for _ in range(3 * THREADS)]
    assert client.transport.kind == "system", client.transport
    del held


def _send(client: Client, requests: int) -> int:
    """Answers that were not what was sent, of that many requests."""
    numbers = iter(range(requests))
    lock = threading.Lock()
    wrong: list[int] = []

    def taken() -> Iterator[int]:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    def work() -> None:
        for number in taken():
            size = SIZES[number % 16 == 0]
            x = np.full((1, size), number, np.float32)
            y = client.run(f"same_{size}", {"x": x})["y"]
            if not np.array_equal(x, y):
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(wrong)


def _held(server: psutil.Process) -> dict[str, float]:
    own = psutil.Process()
    shared = Path("/dev/shm")
    return {
        "client MiB": own.memory_info().rss / 2**20,
        "client descriptors": own.num_fds(),
        "client threads": own.num_threads(),
        "server MiB": server.memory_info().rss / 2**20,
        "server descriptors": server.num_fds(),
        "client's shared memory MiB": sum(
            mapped.size
            for mapped in own.memory_maps(grouped=False)
            if mapped.path.startswith(f"{shared}/nosclient")
        )
        / 2**20,
        "/dev/shm entries of clients": sum(
            path.name.startswith("nosclient") for path in shared.iterdir()
        ),
    }


if __name__ == "__main__":
    main()
