"""Sequences of a real server, through both protocols and both clients."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    SequenceEnded,
    ServerUnavailable,
)

pytestmark = pytest.mark.live


def add(sequence, x, **more):
    return sequence.run({"x": [[x]]}, **more)["total"].item()


def still_open(client):
    """Sequences that the model holds beside the one that asks."""
    with client.sequence("totals") as sequence:
        return sequence.run({"x": [[0]]}, last=True)["open"].item()


def test_each_sequence_has_its_own_state(client):
    with client.sequence("totals") as one, client.sequence("totals") as two:
        for turn in range(1, 5):
            assert add(one, 1) == turn
            assert add(two, 10) == 10 * turn
        assert one.id != two.id
        assert min(one.id, two.id) > 0


def test_the_last_request_frees_its_place(client):
    before = still_open(client)
    sequence = client.sequence("totals")
    add(sequence, 1)
    assert still_open(client) == before + 1
    assert add(sequence, 2, last=True) == 3
    assert still_open(client) == before
    with pytest.raises(SequenceEnded, match="its last request was sent; begin a new one"):
        add(sequence, 3)
    sequence.close()


def test_leaving_the_block_frees_its_place(client):
    before = still_open(client)
    with client.sequence("totals") as sequence:
        add(sequence, 1)
    assert still_open(client) == before
    with pytest.raises(SequenceEnded, match="it was closed"):
        add(sequence, 2)


def test_an_error_of_the_callers_frees_it_too_and_is_what_is_raised(client):
    before = still_open(client)
    with pytest.raises(ZeroDivisionError), client.sequence("totals") as sequence:
        add(sequence, 1)
        raise ZeroDivisionError
    assert still_open(client) == before


def test_a_sequence_that_never_began_sends_nothing(dead_url):
    with Client(dead_url) as client, client.sequence("totals") as sequence:
        for _ in range(2):  # nothing was sent, so that nothing broke
            with pytest.raises(ServerUnavailable):
                add(sequence, 1)


def test_what_the_model_fails_on_leaves_the_sequence(client):
    before = still_open(client)
    with client.sequence("totals") as sequence:
        with pytest.raises(InferenceFailed, match="x is -1"):
            add(sequence, -1)
        assert add(sequence, 5) == 5
        with pytest.raises(InferenceFailed, match="x is -2"):
            add(sequence, -2)
        assert add(sequence, 5) == 10
        with pytest.raises(InferenceFailed, match="x is -3"):
            add(sequence, -3)
    assert still_open(client) == before


def test_wrong_inputs_leave_the_sequence(client):
    with client.sequence("totals") as sequence:
        assert add(sequence, 1) == 1
        with pytest.raises(InvalidInput, match="takes whole numbers"):
            add(sequence, 0.5)
        with pytest.raises(InvalidInput, match="batch of 2: a request of a sequence is one item"):
            sequence.run({"x": [[1], [2]]})
        assert add(sequence, 1) == 2


def test_an_idle_sequence_is_over(client):
    with client.sequence("totals_short") as sequence:
        add(sequence, 1)
        time.sleep(1.5)
        with pytest.raises(SequenceEnded, match="it was idle for too long"):
            add(sequence, 1)
        with pytest.raises(SequenceEnded, match="begin a new one"):
            add(sequence, 1)


def test_a_late_answer_breaks_the_sequence(client):
    with client.sequence("totals", deadline=0.3) as sequence:
        add(sequence, 1, deadline=20)
        with pytest.raises(DeadlineExceeded):
            add(sequence, 2000)
        with pytest.raises(SequenceEnded, match="a request was not answered"):
            add(sequence, 1)


def test_one_thread_at_a_time(client):
    with client.sequence("totals") as sequence, ThreadPoolExecutor(1) as pool:
        add(sequence, 0)
        slow = pool.submit(add, sequence, 2000)
        while not sequence._session._busy.locked():
            assert not slow.done()
        with pytest.raises(InvalidInput, match="at work on another request"):
            add(sequence, 1)
        assert slow.result() == 2000
        assert add(sequence, 1) == 2001


def test_64_threads_with_a_sequence_each(client):
    barrier = threading.Barrier(64)

    def count(step):
        barrier.wait()
        with client.sequence("totals") as sequence:
            return [add(sequence, step) for _ in range(8)]

    with ThreadPoolExecutor(64) as pool:
        counted = list(pool.map(count, range(64)))
    assert counted == [[step * turn for turn in range(1, 9)] for step in range(64)]


def test_which_models_have_sequences(client):
    with pytest.raises(InvalidInput, match=r"client\.sequence\('totals'\)"):
        client.run("totals", {"x": [[1]]})
    with pytest.raises(InvalidInput, match=r"keeps no state .* run\('echo', inputs\)"):
        client.sequence("echo").run({})
    assert client.get_model_info("totals").sequence_batching
    assert not client.get_model_info("echo").sequence_batching


def test_an_ensemble_hands_the_sequence_on(client):
    with pytest.raises(InvalidInput, match=r"client\.sequence\('totals_ensemble'\)"):
        client.run("totals_ensemble", {"number": [[1]]})
    with client.sequence("totals_ensemble") as sequence:
        found = [sequence.run({"number": [[2]]})["sum"].item() for _ in range(3)]
    assert found == [2, 4, 6]


def test_a_version_may_be_named(client):
    with client.sequence("totals", version=1) as sequence:
        assert add(sequence, 4) == 4


async def add_later(sequence, x, **more):
    return (await sequence.run({"x": [[x]]}, **more))["total"].item()


def test_the_asynchronous_client(url, client):
    before = still_open(client)

    async def count(client, step):
        async with client.sequence("totals") as sequence:
            return [await add_later(sequence, step) for _ in range(4)]

    async def main():
        async with AsyncClient(url, deadline=30) as client:
            counted = await asyncio.gather(*(count(client, step) for step in range(16)))
            sequence = client.sequence("totals")
            assert await add_later(sequence, 1, last=True) == 1
            with pytest.raises(SequenceEnded):
                await add_later(sequence, 1)
            return counted

    assert asyncio.run(main()) == [[step * turn for turn in range(1, 5)] for step in range(16)]
    assert still_open(client) == before


def test_a_cancelled_task_breaks_the_sequence(url):
    async def main():
        async with AsyncClient(url, deadline=30) as client, client.sequence("totals") as sequence:
            await add_later(sequence, 1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(add_later(sequence, 2000), 0.2)
            with pytest.raises(SequenceEnded, match="was interrupted"):
                await add_later(sequence, 1)

    asyncio.run(main())
