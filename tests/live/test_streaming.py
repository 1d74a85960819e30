"""Generators of Python models as streams of a real Triton, from the first chunk to the last."""

from __future__ import annotations

import asyncio
import gc
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import streaming_models
import tritonclient.grpc

from nosbuild.runtime import serve
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelNotReady,
)

PATIENCE = 60.0
BLOCK = 65536


class Notes:
    """What the generators did."""

    def __init__(self, folder: Path):
        self.folder = folder

    def of(self, tag: str) -> list[str]:
        file = self.folder / tag
        return file.read_text().splitlines() if file.exists() else []

    def steps(self, tag: str) -> int:
        return sum(line.startswith("step") for line in self.of(tag))

    def go(self, tag: str, step: int | str = "") -> None:
        (self.folder / f"{tag}.go{step}").touch()

    def wait_for(self, tag: str, word: str = "closed") -> None:
        end = time.monotonic() + PATIENCE
        while self.of(tag)[-1:] != [word]:
            assert time.monotonic() < end, f"{tag}: {self.of(tag)[-3:]}"
            time.sleep(0.01)

    def wait_for_the_end(self, tag: str, step: int) -> None:
        """Lets a stream that was left, and waits before that step, go on step by step.

        It has to end with the first step that is made after Triton has heard that nobody reads
        on, which takes as long as it takes.
        """
        end = time.monotonic() + PATIENCE
        while (last := self.of(tag)[-1]) != "closed":
            assert time.monotonic() < end, f"{tag}: {self.of(tag)[-3:]}"
            if last == "waits" and self.steps(tag) == step:
                time.sleep(0.2)
                self.go(tag, step)
                step += 1
            time.sleep(0.01)


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return Notes(tmp_path_factory.mktemp("streaming") / "notes")


@pytest.fixture(scope="module")
def server(notes):
    repository = notes.folder.parent / "models"
    streaming_models.write_models(repository, notes.folder)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, triton_options=["--strict-readiness=false"], **ports) as running:
        yield running


@pytest.fixture(scope="module")
def url(server):
    return f"grpc://{server.grpc_url}"


@pytest.fixture(scope="module")
def client(url):
    with Client(url, deadline=PATIENCE) as client:
        yield client


@pytest.fixture
def memory(server):
    """MiB that Triton and its workers hold."""

    def read() -> float:
        triton = psutil.Process(server.pid)
        processes = [triton, *triton.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 2**20

    return read


both = pytest.mark.parametrize("model", ["count", "count_async"])


def numbers(chunks) -> list[int]:
    return [int(chunk["number"][0]) for chunk in chunks]


@both
def test_a_chunk_arrives_before_the_next_is_made(client, notes, model):
    tag = f"first-{model}"
    chunks = client.stream(model, {"tag": tag, "n": 3, "waits_at": 2})
    first = next(chunks)
    assert {name: array.shape for name, array in first.items()} == {
        "number": (1,),
        "tag": (1,),
        "pid": (1,),
    }
    assert first["tag"].tolist() == [tag.encode()]
    assert numbers(chunks for chunks in [first, next(chunks)]) == [0, 1]
    notes.wait_for(tag, "waits")
    assert notes.of(tag) == ["step 0", "step 1", "waits"]
    notes.go(tag)
    assert numbers(chunks) == [2]
    assert list(chunks) == []
    assert notes.of(tag) == ["step 0", "step 1", "waits", "step 2", "closed"]


def test_only_the_outputs_asked_for(client):
    chunks = client.stream("count", {"tag": "outputs", "n": 2000}, outputs=["number"])
    first = next(chunks)
    assert list(first) == ["number"]
    assert numbers(chunks) == list(range(1, 2000))  # in legs: each asks for the same


def leave_by_cancel(client, inputs, model, wait):
    chunks = client.stream(model, inputs)
    next(chunks)
    wait()
    chunks.cancel()
    assert list(chunks) == []


def leave_by_with(client, inputs, model, wait):
    with client.stream(model, inputs) as chunks:
        next(chunks)
        wait()


def leave_by_forgetting(client, inputs, model, wait):
    for _ in client.stream(model, inputs):
        wait()
        break
    gc.collect()


def leave_by_deadline(client, inputs, model, wait):
    chunks = client.stream(model, inputs, deadline=3)
    next(chunks)
    wait()
    with pytest.raises(DeadlineExceeded, match="the whole of it"):
        next(chunks)


def leave_by_killing_the_client(client, inputs, model, wait):
    code = (
        "import sys, nosclient\n"
        "client = nosclient.Client(sys.argv[1])\n"
        "inputs = {'tag': sys.argv[3], 'n': 10**6, 'waits_at': 1}\n"
        "for chunk in client.stream(sys.argv[2], inputs):\n"
        "    print('chunk', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(client)[8:-2], model, inputs["tag"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "chunk\n"
        wait()
        other.send_signal(signal.SIGKILL)


@both
@pytest.mark.parametrize(
    "leave",
    [
        leave_by_cancel,
        leave_by_with,
        leave_by_forgetting,
        leave_by_deadline,
        leave_by_killing_the_client,
    ],
    ids=["cancel", "with", "forgotten", "deadline", "killed"],
)
def test_a_client_that_leaves_stops_the_work(client, notes, model, leave):
    tag = f"{leave.__name__}-{model}"
    # It leaves while the second step is made, which is long enough for Triton to hear of it.
    inputs = {"tag": tag, "n": 10**6, "waits_at": 1}
    leave(client, inputs, model, lambda: notes.wait_for(tag, "waits"))
    assert notes.of(tag) == ["step 0", "waits"]
    notes.wait_for_the_end(tag, 1)


def test_a_cancel_reaches_one_who_waits(client, notes):
    chunks = client.stream("count", {"tag": "waits", "n": 2, "waits_at": 1})
    assert numbers([next(chunks)]) == [0]
    got: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: got.put(numbers(chunks)))
    reader.start()
    notes.wait_for("waits", "waits")
    chunks.cancel()
    assert got.get(timeout=PATIENCE) == []  # the second step is not made yet
    reader.join()
    notes.go("waits")
    notes.wait_for("waits")


@both
def test_64_streams_at_once_keep_apart(client, notes, model):
    tags = [f"many-{model}-{number}" for number in range(64)]
    began = threading.Barrier(64, action=lambda: [notes.go(tag) for tag in tags])

    def read(tag: str) -> tuple[list[int], set[bytes]]:
        # No stream goes on to its second step before all have made their first.
        chunks = client.stream(model, {"tag": tag, "n": 20, "waits_at": 1})
        got = [next(chunks)]
        began.wait(PATIENCE)
        got += chunks
        return numbers(got), {chunk["tag"][0] for chunk in got}

    with ThreadPoolExecutor(64) as pool:
        for tag, (found, found_tags) in zip(tags, pool.map(read, tags), strict=True):
            assert found == list(range(20))
            assert found_tags == {tag.encode()}
    assert all(notes.of(tag)[-1] == "closed" for tag in tags)


@both
def test_a_stream_that_raises_touches_no_other(client, notes, model):
    tag = f"good-{model}"
    good = client.stream(model, {"tag": tag, "n": 3, "waits_at": 1})
    first = next(good)
    bad = client.stream(model, {"tag": f"bad-{model}", "n": 5, "fails_at": 2})
    found = numbers([next(bad), next(bad)])
    with pytest.raises(InferenceFailed, match=f"ValueError: bad-{model} cannot count to 2"):
        next(bad)
    assert found == [0, 1]
    assert list(bad) == []  # it has ended
    assert notes.of(f"bad-{model}")[-1] == "closed"
    notes.go(tag)
    rest = list(good)
    assert numbers([first, *rest]) == [0, 1, 2]
    again = next(client.stream(model, {"tag": f"again-{model}", "n": 1}))
    assert again["pid"] == first["pid"]  # the worker is the same


def test_a_stalled_reader_takes_up_no_memory(client, notes, memory):
    before = memory()
    chunks = client.stream("blocks", {"tag": "stalled", "n": 16384}, deadline=float("inf"))
    found = [next(chunks)["output"][0]]
    steps = -1
    while steps != notes.steps("stalled"):
        steps = notes.steps("stalled")
        time.sleep(1)
    assert steps * BLOCK <= 4 << 20  # of the 1 GB that it would make
    assert memory() - before < 50
    found += [next(chunks)["output"][0] for _ in range(200)]
    assert found == [number % 251 for number in range(201)]
    chunks.cancel()
    notes.wait_for("stalled")


@pytest.mark.parametrize("model", ["blocks", "blocks_of_two"])
def test_a_long_stream_takes_up_no_memory(client, notes, memory, model):
    before = memory()
    count = 0
    for chunk in client.stream(model, {"tag": f"long-{model}", "n": 4096}):
        assert chunk["output"].shape == (BLOCK,)
        assert chunk["output"][-1] == count % 251
        count += 1
    assert count == 4096  # 256 MB
    assert memory() - before < 50


def test_streams_of_two_instances_keep_apart(client, notes):
    def read(number: int) -> list[int]:
        chunks = client.stream("blocks_of_two", {"tag": f"two-{number}", "n": 200})
        return [int(chunk["output"][0]) for chunk in chunks]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [list(range(200))] * 8


def test_a_reader_of_two_instances_who_leaves_stops_the_work(client, notes):
    with client.stream("blocks_of_two", {"tag": "left-two", "n": 10**6}) as chunks:
        for _ in range(100):
            next(chunks)
    notes.wait_for("left-two")
    assert notes.steps("left-two") <= 100 + 64


def test_a_stream_that_is_left_at_once_stops_in_either_instance(client, notes):
    tags = [f"at-once-{number}" for number in range(20)]
    for tag in tags:
        client.stream("blocks_of_two", {"tag": tag, "n": 10**6}).close()
    time.sleep(1)
    end = time.monotonic() + PATIENCE
    # A stream that goes on would wait for its reader, for ever.
    while (last := {line for tag in tags for line in notes.of(tag)[-1:]}) - {"closed"}:
        assert time.monotonic() < end, last
        time.sleep(0.05)


def test_another_client_than_ours_has_a_limit(server, notes, memory):
    before = memory()
    answers: queue.SimpleQueue[tuple[object, object]] = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        inputs = []
        for name, datatype, array in (
            ("tag", "BYTES", np.array([b"theirs"], object)),
            ("n", "INT64", np.array([10**6])),
        ):
            inputs.append(tritonclient.grpc.InferInput(name, [1], datatype))
            inputs[-1].set_data_from_numpy(array)
        client.async_stream_infer("blocks", inputs)
        got = 0
        while (answer := answers.get(timeout=PATIENCE))[1] is None:
            assert answer[0].as_numpy("output")[0] == got % 251
            got += 1
        client.stop_stream()
    assert got * BLOCK == 8 << 20  # as config.pbtxt says
    assert "stopped after 8 MiB" in str(answer[1])
    notes.wait_for("theirs")
    assert memory() - before < 50


def test_inputs_that_the_model_cannot_take(client, notes):
    with pytest.raises(InvalidInput, match="input 'n' is missing"):
        client.stream("count", {"tag": "missing"})
    with pytest.raises(InferenceFailed, match="input 'tag' is not UTF-8"):
        next(client.stream("count", {"tag": b"\xff", "n": 1}))
    with pytest.raises(InvalidInput, match=r"call it with stream\('count', inputs\)"):
        client.run("count", {"tag": "run", "n": 1})


def test_asynchronous_readers(url, notes):
    async def read(client: AsyncClient, tag: str) -> list[int]:
        return [
            int(chunk["output"][0])
            async for chunk in client.stream("blocks", {"tag": tag, "n": 99})
        ]

    async def main() -> None:
        async with AsyncClient(url, deadline=PATIENCE) as client:
            tags = [f"async-{number}" for number in range(16)]
            found = await asyncio.gather(*(read(client, tag) for tag in tags))
            assert found == [list(range(99))] * 16

            async with client.stream("count", {"tag": "left", "n": 10**6, "waits_at": 1}) as chunks:
                assert numbers([await anext(chunks)]) == [0]
            task = asyncio.create_task(
                anext(client.stream("count_async", {"tag": "task", "n": 10**6, "waits_at": 0}))
            )
            await asyncio.to_thread(notes.wait_for, "task", "waits")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(InferenceFailed, match="cannot count to 0"):
                await anext(client.stream("count", {"tag": "fails", "n": 1, "fails_at": 0}))
            # Before the client is closed, which would end them as well.
            for tag, step in (("left", 1), ("task", 0)):
                await asyncio.to_thread(notes.wait_for_the_end, tag, step)

    asyncio.run(main())


def test_a_model_that_is_loaded_anew_ends_long_streams(server, client, notes):
    chunks = client.stream("blocks", {"tag": "replaced", "n": 10**6})
    next(chunks)
    (server.repository / "blocks/1/model.py").touch()
    client.load_model("blocks")
    with pytest.raises(ModelNotReady, match="unloaded or replaced while it streamed"):
        list(chunks)
    notes.wait_for("replaced")
    assert len(list(client.stream("blocks", {"tag": "after", "n": 2}))) == 2
