"""A client whose process is forked: what works in the child works there, what cannot says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

# A child that hangs is ended by the alarm, and its status tells.
FORK = """
import asyncio, os, signal, sys
import numpy as np
from nosclient import AsyncClient, Client, NosClientError

grpc_url, http_url = sys.argv[1:]
ECHO = {"int8": [[1]]}

def in_child(work):
    child = os.fork()
    if not child:
        signal.alarm(30)
        try:
            print(work())
        except NosClientError as error:
            print(type(error).__name__, "GRPC_ENABLE_FORK_SUPPORT=1" in error.message)
        sys.exit(0)
    print("status", os.waitpid(child, 0)[1])

def asked(client):
    return client.run("echo", ECHO)["int8_out"].item()

def submitted(client, slow):
    return asked(client), slow.submit(0.0).result(timeout=20).item(), list(slow.map([0.0, 0.0]))

async def asked_once(client):
    return (await client.run("echo", ECHO))["int8_out"].item()

"""


def run(service, code, **environment):
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            FORK + code,
            f"grpc://{service.grpc_url}",
            service.http_url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("url", ["grpc_url", "http_url"])
def test_a_client_made_before_the_fork_and_called_after_it(service, url):
    code = f"""
client = Client({url}, deadline=20)
in_child(lambda: submitted(client, client.model("slow")))
print(asked(client))
in_child(lambda: 1 if {url} == http_url or asked(client) else 0)
"""
    after_calls = ["1"] if url == "http_url" else ["NotAfterFork True"]
    once = "(1, 0.0, [array([0.], dtype=float32), array([0.], dtype=float32)])"
    assert run(service, code) == [once, "status 0", "1", *after_calls, "status 0"]


@pytest.mark.parametrize(
    ("url", "support"), [("http_url", "0"), ("grpc_url", "1"), ("grpc_url", "0")]
)
def test_a_client_with_threads_and_connections_is_forked(service, url, support):
    code = f"""
client = Client({url}, deadline=20)
slow = client.model("slow")
slow.submit(0.0).result()
in_child(lambda: submitted(client, slow)[:2])
in_child(lambda: asked(Client({url}, deadline=20)))
print(asked(client), slow.submit(0.0).result().item(), client.stats().models["echo"].outcomes)
"""
    works = (url, support) != ("grpc_url", "0")
    child = ["(1, 0.0)", "status 0", "1", "status 0"]
    refused = ["NotAfterFork True", "status 0"] * 2
    parent = "1 0.0 {'ok': 1}"  # what a child does is counted there
    found = run(service, code, GRPC_ENABLE_FORK_SUPPORT=support)
    assert found == [*(child if works else refused), parent]


def test_shared_memory_stays_the_parents(service):
    code = """
x = {"fp32": np.arange(1 << 17, dtype=np.float32).reshape(1, -1)}
client = Client(http_url, deadline=20, shared_memory="system")
kept = client.run("echo", x)["fp32_out"]

def child():
    same = (client.run("echo", x)["fp32_out"] == x["fp32"]).all()
    client.close()
    return same

in_child(child)
again = client.run("echo", x)["fp32_out"]
print((again == kept).all(), client.stats().traffic["system"].sent == 2 * kept.nbytes)
"""
    assert run(service, code) == ["True", "status 0", "True True"]


def test_a_stream_belongs_to_who_opened_it(service):
    code = """
client = Client(grpc_url, deadline=20)
client.load_model("ticker")
stream = client.stream("ticker", {"n": [3], "seconds": [0.2]})
ticks = [next(stream)["tick"].item()]
in_child(lambda: next(stream))
print(ticks + [chunk["tick"].item() for chunk in stream])
client.unload_model("ticker")
"""
    found = run(service, code, GRPC_ENABLE_FORK_SUPPORT="0")
    assert found == ["NotAfterFork True", "status 0", "[0, 1, 2]"]


def test_the_asynchronous_client(service):
    code = """
http, grpc = (AsyncClient(url, deadline=20) for url in (http_url, grpc_url))
print(asyncio.run(asked_once(http)))
in_child(lambda: asyncio.run(asked_once(http)))
print(asyncio.run(asked_once(grpc)))
in_child(lambda: asyncio.run(asked_once(grpc)))
"""
    for support in "01":
        found = run(service, code, GRPC_ENABLE_FORK_SUPPORT=support)
        assert found == ["1", "1", "status 0", "1", "NotAfterFork True", "status 0"]
