"""Tensors through shared memory, by clients of a real server, and where it cannot be had."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc

from nosbuild import serve
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
)
from nosclient import _shared_lender as shared_lender

SIZE = 1 << 19
RNG = np.random.default_rng(0)
MODELS = Path(__file__).parent / "models"


@pytest.fixture
def x():
    return RNG.random(SIZE, np.float32)


@pytest.fixture
def client(url):
    with Client(url, deadline=30, shared_memory="system") as client:
        yield client


@pytest.fixture
def regions(service):
    """Names of the regions that the server maps since the test began."""
    with tritonclient.grpc.InferenceServerClient(service.grpc_url) as asked:

        def found():
            status = asked.get_system_shared_memory_status(as_json=True)
            return set(status.get("regions", {}))

        before = found()
        yield lambda: found() - before


def late(client, x, seconds=0.0, **more):
    return client.run("late", {"x": x, "seconds": [seconds]}, **more)["y"]


def files():
    return [path for path in Path("/dev/shm").iterdir() if path.name.startswith("nosclient")]


def mapped():
    """Regions that this process maps."""
    maps = psutil.Process().memory_maps(grouped=False)
    return sum(row.path.startswith("/dev/shm/nosclient") for row in maps)


def test_the_same_answers(client, regions, x):
    assert str(client.transport) == "wire (no tensor of 64 KiB and more was sent yet)"
    np.testing.assert_array_equal(late(client, x), 2 * x)
    assert str(client.transport) == "system shared memory (tensors of 64 KiB and more)"
    assert len(regions()) == 2
    np.testing.assert_array_equal(late(client, x[::-1]), 2 * x[::-1])
    assert files() == []


def test_regions_are_used_again_and_given_back(client, regions, x):
    for _ in range(10):
        late(client, x)
    assert len(regions()) == 2
    client.close()
    assert not regions()


def test_nothing_stays_mapped_once_the_client_is_closed(client, x):
    before = mapped()
    held = [late(client, x) for _ in range(4)]
    wanted = held[0].copy()
    del held[1:]  # some are free again, and one is in use
    client.close()
    assert mapped() - before == 1
    np.testing.assert_array_equal(held[0], wanted)
    del held
    assert mapped() == before


def test_answers_stay_what_they_were(client, x):
    kept = [late(client, x + number) for number in range(5)]
    part = kept[0][10:20]
    for number, y in enumerate(kept):
        np.testing.assert_array_equal(y, 2 * (x + number))
    y = kept[4]
    del kept
    gc.collect()
    late(client, x)
    client.close()
    np.testing.assert_array_equal(part, 2 * x[10:20])
    y[:] = 1  # its own memory, to be written to
    assert y.sum() == SIZE


def test_outputs_of_unknown_size_follow_once_it_is_known(client, regions):
    for size in (SIZE, SIZE, 4 * SIZE, 4 * SIZE, SIZE):
        x = RNG.random((2, size), np.float32)
        np.testing.assert_array_equal(client.run("echo", {"fp32": x})["fp32_out"], x)
    assert len(regions()) >= 4


def test_small_tensors_strings_and_part_of_the_outputs(client, regions, x):
    inputs = {"fp32": [[1.0]], "string": [["a" * 200_000]]}
    answer = client.run("echo", inputs)
    assert answer["string_out"].item() == b"a" * 200_000
    assert not regions()
    x = x.reshape(2, -1)
    for _ in range(2):
        answer = client.run(
            "echo", {"fp32": x, "int8": np.zeros((2, 3), np.int8)}, outputs=["int8_out"]
        )
        assert list(answer) == ["int8_out"]
    assert len(regions()) == 1


def test_errors_of_the_model(client, regions, x):
    for _ in range(3):
        with pytest.raises(InferenceFailed, match="sleep length must be non-negative"):
            late(client, x, -1)
    np.testing.assert_array_equal(late(client, x), 2 * x)
    assert len(regions()) == 2


def test_what_the_server_may_still_write_to_is_not_used_again(client, regions, x, monkeypatch):
    late(client, x)
    first = regions()
    with pytest.raises(DeadlineExceeded):
        late(client, x, 1.2, deadline=0.5)
    y = late(client, x + 1)
    np.testing.assert_array_equal(y, 2 * (x + 1))
    second = regions()
    assert len(second) == 4
    assert second > first
    monkeypatch.setattr(shared_lender, "_PATIENCE_SECONDS", 0.0)
    late(client, x)
    np.testing.assert_array_equal(y, 2 * (x + 1))
    assert not first & regions()


def test_asyncio(url, regions, x):
    async def use():
        async with AsyncClient(url, deadline=30, shared_memory="system") as client:
            found = await asyncio.gather(
                *(client.run("late", {"x": x + n, "seconds": [0.0]}) for n in range(8))
            )
            for number, answer in enumerate(found):
                np.testing.assert_array_equal(answer["y"], 2 * (x + number))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.run("late", {"x": x, "seconds": [1.2]}), 0.5)
            return client.transport.kind, len(regions())

    kind, most = asyncio.run(use())
    assert kind == "system"
    assert 2 <= most <= 20
    left = regions()  # the request that was given up is still at work
    assert len(left) == 2
    with Client(url, shared_memory="system") as client:
        late(client, x, 1.0)
    with Client(url, shared_memory="system") as client:
        late(client, x)
        assert not left & regions()


def test_many_threads(client, regions, x):
    def work(number):
        return all(np.array_equal(late(client, x + number), 2 * (x + number)) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8
    assert len(regions()) <= 3 * 8


KILLED = """
import sys, numpy as np
from nosclient import Client
client = Client(sys.argv[1], shared_memory="system")
x = np.ones(1 << 19, np.float32)
kept = client.run("late", {"x": x, "seconds": [0.0]})
print("done", flush=True)
sys.stdin.read()
"""


def test_a_client_that_was_killed(client, regions, service, x):
    command = [sys.executable, "-c", KILLED, f"grpc://{service.grpc_url}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"done\n"
        left = regions()
        assert len(left) == 2
        late(client, x)
        assert left < regions()  # it lives
        process.send_signal(signal.SIGKILL)
    assert files() == []
    with Client(service.grpc_url, shared_memory="auto") as following:
        late(following, x)
        assert not left & regions()


def test_a_client_that_ends_without_a_word(client, regions, service, x):
    command = [sys.executable, "-c", KILLED, f"grpc://{service.grpc_url}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert not regions()
    dropped = Client(service.grpc_url, shared_memory="system")
    late(dropped, x)
    left = regions()
    assert len(left) == 2
    del dropped
    gc.collect()
    late(client, x)
    assert not left & regions()


def test_a_server_that_was_started_again(tmp_path, x):
    options = {"http_port": 0, "metrics_port": 0, "models": ["late"], "announce": False}
    with serve(MODELS, grpc_port=0, **options) as first:
        port = int(first.grpc_url.rpartition(":")[2])
        client = Client(first.grpc_url, deadline=30, shared_memory="system")
        kept = late(client, x)
    with serve(MODELS, grpc_port=port, **options), client:
        for number in range(2):
            np.testing.assert_array_equal(late(client, x + number), 2 * (x + number))
        assert client.transport.kind == "system"
    np.testing.assert_array_equal(kept, 2 * x)


def in_its_own_memory(size, code, *arguments):
    """Runs code where /dev/shm is another one, as in a container."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("only root may give a process its own /dev/shm")
    mounted = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", code]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


ELSEWHERE = """
import logging, sys, numpy as np
from nosclient import Client, ServerError
logging.basicConfig(level=logging.INFO, format="%(message)s")
x = np.ones(1 << 19, np.float32)
with Client(sys.argv[1], shared_memory="auto") as client:
    for _ in range(3):
        assert (client.run("late", {"x": x, "seconds": [0.0]})["y"] == 2).all()
    print(client.transport)
client = Client(sys.argv[1], shared_memory="system")
for _ in range(2):
    try:
        client.run("late", {"x": x, "seconds": [0.0]})
    except ServerError as error:
        print(error)
"""


def test_a_server_with_another_memory(url):
    out, log = in_its_own_memory("64m", ELSEWHERE, url)
    transport, error, again = out.splitlines()
    assert error == again
    assert transport.startswith("wire (shared memory: the server cannot map it: ")
    assert "Unable to open shared memory region" in transport
    assert 'shared_memory="auto" takes the wire instead' in error
    assert log.count("tensors travel on the wire") == 2  # once for each client


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_restricts_it(protocol, x):
    restricted = {
        "grpc": "--grpc-restricted-protocol=shared-memory:admin=secret",
        "http": "--http-restricted-api=shared-memory:admin=secret",
    }
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    options = {"models": ["late"], "triton_options": [restricted[protocol]], "announce": False}
    with serve(MODELS, **ports, **options) as service:
        url = service.http_url if protocol == "http" else service.grpc_url
        with Client(url, deadline=30, shared_memory="auto") as client:
            np.testing.assert_array_equal(late(client, x), 2 * x)
            assert client.transport.kind == "wire"
            assert "does not offer it" in client.transport.reason
        keys = {"admin": "secret"}
        with Client(url, deadline=30, shared_memory="system", restricted_keys=keys) as client:
            np.testing.assert_array_equal(late(client, x), 2 * x)
            assert client.transport.kind == "system"


def test_several_servers(service, x):
    urls = [service.grpc_url, service.grpc_url.replace("127.0.0.1", "localhost")]
    with Client(urls, deadline=30, shared_memory="auto") as client:
        np.testing.assert_array_equal(late(client, x), 2 * x)
        assert "for one server" in str(client.transport)
    with pytest.raises(InvalidInput, match="takes the wire then"):
        Client(urls, shared_memory="system")


FULL = """
import sys, numpy as np
from nosclient import Client
x = np.ones(1 << 19, np.float32)
with Client(sys.argv[1], shared_memory="auto") as client:
    for _ in range(3):
        assert (client.run("late", {"x": x, "seconds": [0.0]})["y"] == 2).all()
    print(client.transport)
"""


def test_no_room(url):
    out, _ = in_its_own_memory("1m", FULL, url)
    assert out.startswith("wire (")


def test_what_is_no_mode(url):
    with pytest.raises(InvalidInput, match="write one of 'off', 'auto', 'system'"):
        Client(url, shared_memory="shm")


def test_nothing_is_tried_where_it_is_off(url, regions, x, caplog):
    with caplog.at_level(logging.DEBUG), Client(url) as client:
        np.testing.assert_array_equal(late(client, x), 2 * x)
        assert not regions()
        assert str(client.transport) == 'wire (shared_memory="off")'
    assert caplog.records == []
