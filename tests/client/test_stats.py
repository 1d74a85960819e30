"""What a client counts of its own inferences."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nosclient import AsyncClient, Client, ClientStats, NosClientError, ServerUnavailable
from nosclient._recorder import Recorder
from nosclient.testing import FakeServer

SCALAR = {"x": 3, "text": "word", "matrix": [[1, 2]]}


def failed(client, *arguments, **options):
    with pytest.raises(NosClientError):
        client.run(*arguments, **options)


@pytest.mark.live
def test_outcomes_and_bytes(client):
    for _ in range(3):
        client.run("echo", {"fp32": np.ones((4, 3), np.float32)})
    client.run("echo", {"string": [["é", "ab"]]})
    failed(client, "echo", {"wrong": 1})
    failed(client, "failing", {"x": 1})
    failed(client, "minilm", {})
    failed(client, "slow", {"seconds": 1}, deadline=0.2)
    stats = client.stats()
    assert {name: dict(calls.outcomes) for name, calls in stats.models.items()} == {
        "echo": {"ok": 4, "InvalidInput": 1},
        "failing": {"InferenceFailed": 1},
        "minilm": {"ModelNotFound": 1},
        "slow": {"DeadlineExceeded": 1},
    }
    echo = stats.models["echo"]
    assert (echo.count, echo.latency.count, echo.chunks) == (5, 4, 0)
    assert 0 < echo.latency.min <= echo.latency.p50 <= echo.latency.p99 <= echo.latency.max
    assert echo.latency.min * 4 <= echo.latency.sum <= echo.latency.max * 4
    strings = 4 + len("é".encode()) + 4 + 2
    sent = 3 * 48 + strings + 4 + 4  # and what was failed on
    assert (stats.traffic["wire"].sent, stats.traffic["wire"].received) == (sent, 144 + strings)


@pytest.mark.live
def test_sequences_count_each_request(client):
    with client.sequence("totals") as sequence:
        sequence.run({"x": [[1]]})
        with pytest.raises(NosClientError):
            sequence.run({"x": [[-1]]})
    # The sequence's end is a request too: the last one once more.
    assert client.stats().models["totals"].outcomes == {"ok": 1, "InferenceFailed": 2}


@pytest.mark.live
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_streams(service, kind):
    async def read(client, n, **options):
        if kind is Client:
            return list(client.stream("ticker", {"n": n}, **options))
        return [chunk async for chunk in client.stream("ticker", {"n": n}, **options)]

    async def main():
        client = kind(service.grpc_url, deadline=30)
        load = client.load_model("ticker")
        if kind is AsyncClient:
            await load
        await read(client, 5)
        await read(client, 0)
        with pytest.raises(NosClientError):
            await read(client, 5, parameters={"fails_at": 2})
        left = client.stream("ticker", {"n": 5})
        if kind is Client:
            next(left)
        else:
            await anext(left)
        left.cancel()
        left.cancel()
        never = client.stream("ticker", {"m": 5}) if kind is AsyncClient else None
        del never  # nothing was sent
        ticker = client.stats().models["ticker"]
        assert ticker.outcomes == {"ok": 2, "InferenceFailed": 1, "cancelled": 1}
        assert ticker.chunks == 5 + 0 + 2 + 1
        assert ticker.first_chunk.count == 3
        assert ticker.latency.count == 2
        traffic = client.stats().traffic["wire"]
        assert (traffic.sent, traffic.received) == (4 * 8, 8 * 8)
        if kind is AsyncClient:
            await client.close()
        else:
            client.close()

    asyncio.run(main())


@pytest.mark.live
def test_a_cancelled_task_counts(url):
    async def main():
        async with AsyncClient(url) as client:
            await client.run("slow", {"seconds": 0})
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.run("slow", {"seconds": 1}), 0.2)
            return client.stats()

    assert asyncio.run(main()).models["slow"].outcomes == {"ok": 1, "cancelled": 1}


def test_nobody_there_counts(dead_url):
    with Client(dead_url) as client:
        with pytest.raises(ServerUnavailable):
            client.run("echo", {})
        assert client.stats().models["echo"].outcomes == {"ServerUnavailable": 1}
        assert client.stats().traffic == {}


def test_threads_lose_no_count():
    server = FakeServer()

    @server.model(inputs={"x": "INT8[1]"}, outputs={"x": "INT8[1]"})
    def same(x):
        return {"x": x}

    with server.client() as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: client.run("same", {"x": 1}), range(1600)))
        stats = client.stats()
    assert stats.models["same"].outcomes == {"ok": 1600}
    assert sum(stats.models["same"].latency.buckets.values()) == 1600
    assert stats.traffic["wire"].sent == 1600


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 10])
def test_percentiles_are_close(scale):
    seconds = np.random.default_rng(0).lognormal(0, 1, 2000) * scale
    recorder = Recorder()
    for each in seconds:
        recorder.ended("m", "ok", each, 0, 0)
    latency = recorder.snapshot().models["m"].latency
    for percent in (0, 1, 50, 95, 99, 100):
        exact = np.percentile(seconds, percent, method="inverted_cdf")
        assert latency.percentile(percent) == pytest.approx(exact, rel=0.05)
    assert latency.sum == pytest.approx(seconds.sum())
    assert (latency.count, latency.min, latency.max) == (2000, seconds.min(), seconds.max())
    assert latency.mean == pytest.approx(seconds.mean())


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-6, 7200.0])
def test_what_is_beyond_the_buckets_is_counted(seconds):
    recorder = Recorder()
    recorder.ended("m", "ok", seconds, 0, 0)
    latency = recorder.snapshot().models["m"].latency
    assert (latency.count, latency.min, latency.max) == (1, seconds, seconds)
    assert latency.p50 == seconds


def test_what_came_between_two_snapshots():
    recorder = Recorder()
    recorder.ended("idle", "ok", 1.0, 10, 10)
    recorder.ended("busy", "ok", 1.0, 10, 10)
    before = recorder.snapshot()
    recorder.ended("busy", "ok", 0.25, 3, 4)
    recorder.ended("busy", "InvalidInput", 0.1, 0, 0)
    recorder.chunk("new", 5, 0.5)
    recorder.travelled("system", 1000, 0)
    change = recorder.snapshot() - before
    assert list(change.models) == ["busy", "new"]
    busy = change.models["busy"]
    assert busy.outcomes == {"ok": 1, "InvalidInput": 1}
    assert (busy.latency.count, busy.latency.sum) == (1, 0.25)
    assert busy.latency.max < 1
    assert busy.latency.p50 == pytest.approx(0.25, rel=0.05)
    assert change.models["new"].first_chunk.count == 1
    assert change.traffic["wire"].sent == 3
    assert change.traffic["wire"].received == 9
    assert str(change).splitlines() == [
        "busy    1 ok, 1 InvalidInput; p50 251 ms, p95 251 ms, p99 251 ms, max 262 ms",
        "new     none has ended; chunks: 1, the first after p50 500 ms, p95 500 ms, p99 500 ms, "
        "max 500 ms",
        "wire    3 B sent, 9 B received",
        "system  1 kB sent, 0 B received",
    ]
    assert recorder.snapshot() - recorder.snapshot() == ClientStats()
    assert str(ClientStats()) == "nothing was asked"
