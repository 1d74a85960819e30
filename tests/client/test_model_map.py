"""Many calls of one model at once: submit, map, and what close() and the end of the program do."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import aclosing

import pytest

from nosclient import AsyncClient, Client, ClientClosed, InvalidInput

pytestmark = pytest.mark.live


@pytest.fixture
def service(speaking_service):
    return speaking_service


def test_submit(client):
    scaled = client.model("speaker.scaled")
    futures = [scaled.submit([n, 1], by=1) for n in range(200)]
    assert [future.result()[0] for future in futures] == list(range(200))
    assert scaled.submit(x=[1]).exception(timeout=30).message.startswith("input 'x' has shape")
    assert sum(each.name == "nosclient" for each in threading.enumerate()) <= 64


def test_closing_the_client_ends_its_threads(url):
    client = Client(url, deadline=30)
    slow = client.model("slow")
    futures = [slow.submit(0.05) for _ in range(200)]
    client.close()
    ended = [future.exception(timeout=30) if not future.cancelled() else None for future in futures]
    assert sum(future.cancelled() for future in futures) >= 100
    strange = [each for each in ended if not isinstance(each, ClientClosed | None)]
    assert not strange
    with pytest.raises(CancelledError):
        slow.submit(0).result()
    with pytest.raises(ClientClosed):
        slow(0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of its connection, which nobody closed
def test_a_forgotten_client_takes_its_threads_with_it(url):
    before = {each for each in threading.enumerate() if each.name == "nosclient"}
    client = Client(url, deadline=30)
    assert client.model("speaker.scaled").submit([1, 2]).result().tolist() == [2, 4]
    started = {each for each in threading.enumerate() if each.name == "nosclient"} - before
    assert started
    del client
    for each in started:
        each.join(timeout=30)
        assert not each.is_alive()


class Counted:
    """An endless source of samples that knows how many were taken."""

    def __init__(self):
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return {"x": [self.taken - 1, 0], "by": 1}


@pytest.fixture
def in_flight(client):
    """The most inferences that the client had in flight at once so far, and how many it sent."""
    counts = {"now": 0, "most": 0, "sent": 0}
    lock, perform = threading.Lock(), client._transports[0].perform

    def counting(call):
        if getattr(call, "method", "") != "infer":
            return perform(call)
        with lock:
            counts["now"] += 1
            counts["sent"] += 1
            counts["most"] = max(counts["most"], counts["now"])
        try:
            return perform(call)
        finally:
            with lock:
                counts["now"] -= 1

    client._transports[0].perform = counting
    return counts


@pytest.mark.parametrize("concurrency", [1, 5])
def test_map_keeps_a_window(client, in_flight, concurrency):
    samples, results = Counted(), []
    for number, result in enumerate(
        client.model("speaker.scaled").map(samples, concurrency=concurrency)
    ):
        assert result.tolist() == [number, 0]
        assert samples.taken <= number + concurrency
        results.append(result)
        if number == 50:
            break
    assert in_flight["most"] <= concurrency
    time.sleep(0.2)
    assert samples.taken <= 50 + concurrency
    assert in_flight["sent"] <= samples.taken


def test_map_runs_side_by_side(client, in_flight):
    slow = client.model("slow")
    list(slow.map([0.1] * 8, concurrency=8))
    assert in_flight["most"] > 1
    assert len(list(slow.map([0.0] * 100, concurrency=80))) == 100


def test_samples_of_map(client):
    speaker = client.model("speaker")
    assert [each.item() for each in speaker.map(["a", {"text": "b"}])] == [b"A", b"B"]
    assert [each.tolist() for each in speaker.scaled.map([[1, 2]])] == [[2, 4]]
    assert list(speaker.map([])) == []
    with pytest.raises(InvalidInput, match=r"a sample of map\(\) is a mapping of their names"):
        next(client.model("scalar").map([3]))
    for concurrency in (0, -1, 1.5):
        with pytest.raises(InvalidInput, match="concurrency="):
            speaker.map([], concurrency=concurrency)


def broken_source(error):
    yield [1, 2]
    yield [3, 4]
    raise error


def test_errors_of_map_come_at_their_place(client):
    scaled, got = client.model("speaker.scaled"), []
    samples = itertools.chain([[1, 2], [3, 4], "no number"], Counted())
    with pytest.raises(InvalidInput, match="holds strings"):
        got.extend(result.tolist() for result in scaled.map(samples, concurrency=4))
    got = []
    with pytest.raises(ZeroDivisionError):
        for result in scaled.map(broken_source(ZeroDivisionError()), concurrency=4):
            got.append(result.tolist())
    assert got == [[2, 4], [6, 8]]


def test_map_of_an_event_loop(url):
    async def source():
        for number in itertools.count():
            yield {"x": [number, 0], "by": 1}

    async def main():
        async with AsyncClient(url, deadline=30) as client:
            scaled = await client.model("speaker.scaled")
            for make in (Counted, source):
                got = []
                async with aclosing(scaled.map(make(), concurrency=5)) as results:
                    async for result in results:
                        got.append(result.tolist())
                        if len(got) == 30:
                            break
                assert got == [[number, 0] for number in range(30)]
            samples = Counted()
            async with aclosing(scaled.map(samples, concurrency=3)) as results:
                async for number in _numbered(results):
                    assert samples.taken <= number + 1 + 3
                    if number == 20:
                        break
            got = []
            with pytest.raises(ZeroDivisionError):
                async for result in scaled.map(broken_source(ZeroDivisionError())):
                    got.append(result.tolist())
            assert got == [[2, 4], [6, 8]]
            with pytest.raises(InvalidInput, match="holds strings"):
                async for _ in scaled.map([[1, 2], "word"]):
                    pass
            tasks = [scaled.submit([n, 0], by=1) for n in range(20)]
            assert [(await task)[0] for task in tasks] == list(range(20))
            with pytest.raises(InvalidInput):
                await scaled.submit("word")
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_closing_the_asynchronous_client(url):
    async def main():
        client = AsyncClient(url, deadline=30)
        slow = await client.model("slow")
        tasks = [slow.submit(0.8) for _ in range(4)]
        tasks[-1].cancel()
        await asyncio.sleep(0.1)
        await client.close()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ended.pop(), asyncio.CancelledError)
        closed = asyncio.CancelledError if sys.version_info < (3, 11) else ClientClosed
        assert all(isinstance(each, ClientClosed | closed) for each in ended)

    asyncio.run(main())


async def _numbered(results):
    number = 0
    async for _ in results:
        yield number
        number += 1


def test_a_result_is_not_kept_back_by_a_source_that_waits(url):
    async def main():
        go_on = asyncio.Event()

        async def source():
            yield [1, 2]
            await go_on.wait()
            yield [3, 4]

        async with AsyncClient(url, deadline=30) as client:
            scaled = await client.model("speaker.scaled")
            results = scaled.map(source())
            assert (await asyncio.wait_for(anext(results), 30)).tolist() == [2, 4]
            go_on.set()
            assert [each.tolist() async for each in results] == [[6, 8]]

    asyncio.run(main())


def test_closing_the_client_under_a_map(url):
    client = Client(url, deadline=30)
    results = client.model("slow").map(itertools.repeat(0.0), concurrency=3)
    next(results)
    client.close()
    with pytest.raises(ClientClosed, match="closed"):
        list(results)
    client = Client(url, deadline=30)
    results = client.model("slow").map(itertools.repeat(0.05), concurrency=3)
    closing = threading.Timer(0.3, client.close)
    closing.start()
    with pytest.raises(ClientClosed, match="closed"):
        list(results)
    closing.join()


def test_closing_the_asynchronous_client_under_a_map(url):
    async def main():
        client = AsyncClient(url, deadline=30)
        slow = await client.model("slow")
        asyncio.get_running_loop().call_later(
            0.3, lambda: closing.append(asyncio.create_task(client.close()))
        )
        closing = []
        with pytest.raises(ClientClosed, match="closed"):
            async for _ in slow.map(itertools.repeat(0.05), concurrency=3):
                pass
        await closing[0]

    asyncio.run(main())


def test_the_end_of_the_program_is_not_held_up(url):
    code = (
        "import sys, time\n"
        "from nosclient import Client\n"
        "slow = Client(sys.argv[1]).model('slow')\n"
        "futures = [slow.submit(10.0) for _ in range(3)]\n"
        "time.sleep(0.5)\n"
        "print('done', any(future.running() for future in futures))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, timeout=20
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done True\n", "")
