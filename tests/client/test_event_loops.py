"""An AsyncClient that is used in one event loop after the other, and in two at once."""

from __future__ import annotations

import asyncio
import gc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nosclient import AsyncClient, ClientClosed, WrongEventLoop
from nosclient.testing import FakeServer

pytestmark = pytest.mark.live

X = {"fp32": np.ones((1, 30_000), np.float32)}


@pytest.mark.parametrize("shared_memory", ["off", "auto"])
def test_one_loop_after_the_other(url, caplog, shared_memory):
    client = AsyncClient(url, deadline=30, shared_memory=shared_memory)

    async def work():
        model = await client.model("echo", outputs="fp32_out")
        asked = (client.run("echo", X), model.submit(**X))
        first, second = await asyncio.gather(*asked)
        assert first["fp32_out"].shape == second.shape

    async def left_behind():
        task = asyncio.ensure_future(client.run("slow", {"seconds": [0.5]}))
        await asyncio.sleep(0.1)
        assert not task.done()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for main in (work, work, left_behind, work, client.close):
            asyncio.run(main())
            gc.collect()
        with pytest.raises(ClientClosed):
            asyncio.run(work())
        gc.collect()
    said = [str(each.message) for each in warned] + [each.getMessage() for each in caplog.records]
    assert not [text for text in said if "Unclosed" in text or "never awaited" in text], said
    assert client.stats().models["echo"].outcomes == {"ok": 6}


def test_a_stream_in_the_second_loop(service):
    client = AsyncClient(service.grpc_url, deadline=30)

    async def work():
        await client.load_model("ticker")
        return [chunk async for chunk in client.stream("ticker", {"n": 3})]

    async def broken_off():
        async for _ in client.stream("ticker", {"n": 3}):
            break

    assert len(asyncio.run(work())) == 3
    asyncio.run(broken_off())
    assert len(asyncio.run(work())) == 3
    asyncio.run(client.close())


def test_closed_in_a_loop_in_which_it_was_not_used(url):
    client = AsyncClient(url, deadline=30)
    asyncio.run(client.is_ready())
    asyncio.run(client.close())
    asyncio.run(client.close())
    asyncio.run(AsyncClient(url).close())


def test_two_loops_at_once(url):
    client = AsyncClient(url, deadline=30)

    async def elsewhere():
        for asked in (client.run("echo", X), client.is_ready(), client.close()):
            with pytest.raises(WrongEventLoop, match="make an AsyncClient for each event loop"):
                await asked

    async def main():
        await client.run("echo", X)
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, asyncio.run, elsewhere())
        await client.run("echo", X)
        await client.close()

    asyncio.run(main())


def test_the_fake_server_does_as_well():
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def same(x):
        return {"y": x}

    client = server.async_client()
    for _ in range(2):
        assert asyncio.run(client.run("same", {"x": 1}))["y"].tolist() == [1.0]
