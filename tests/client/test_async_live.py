"""The asynchronous client against a real server; the operations are those of the blocking one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from nosclient import (
    AsyncClient,
    ClientClosed,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    ServerUnavailable,
)

pytestmark = pytest.mark.live


def test_many_requests_at_once(url):
    async def main():
        async with AsyncClient(url) as client:
            sent = [np.full((1, 3), number, np.float32) for number in range(64)]
            got = await asyncio.gather(*(client.run("echo", {"fp32": each}) for each in sent))
        for each, back in zip(sent, got, strict=True):
            np.testing.assert_array_equal(back["fp32_out"], each)

    asyncio.run(main())


def test_every_method(url):
    async def main():
        async with AsyncClient(url, deadline=30) as client:
            await client.wait_until_ready(model="scalar")
            assert await client.is_ready()
            assert not await client.is_ready("minilm")
            assert await client.is_healthy()
            await client.wait_for_server()
            assert (await client.get_service_info()).name == "triton"
            assert "echo" in {row.name for row in await client.list_models()}
            assert (await client.get_model_info("echo")).max_batch_size == 8
            got = await client.run("scalar", {"x": 3, "text": "word", "matrix": [[1, 2]]})
            assert got["upper"].tolist() == [b"WORD"]
            await client.unload_model("scalar")
            await client.load_model("scalar")
            assert (await client.statistics("scalar")).name == "scalar"
        with pytest.raises(ClientClosed):
            await client.is_ready()

    asyncio.run(main())


def test_errors(url, dead_url):
    async def main():
        async with AsyncClient(url, deadline=30) as client:
            for error, words, call in [
                (ModelNotFound, "it has: broken", lambda: client.run("minilm", {})),
                (ModelLoadFailed, "weights", lambda: client.load_model("broken")),
                (ModelNotReady, "weights", lambda: client.run("broken", {"x": 1})),
                (InferenceFailed, "number", lambda: client.run("failing", {"x": 1})),
                (InvalidInput, "missing", lambda: client.run("scalar", {})),
                (
                    InvalidInput,
                    "reserved",
                    lambda: client.run("echo", {"fp32": [[1]]}, parameters={"timeout": 1}),
                ),
                (
                    DeadlineExceeded,
                    "slow",
                    lambda: client.run("slow", {"seconds": 1}, deadline=0.2),
                ),
            ]:
                with pytest.raises(error, match=words):
                    await call()
            await client.unload_model("broken")
        async with AsyncClient(dead_url) as lonely:
            with pytest.raises(ServerUnavailable, match="is the server running"):
                await lonely.list_models()
            with pytest.raises(DeadlineExceeded, match="no connection"):
                await lonely.wait_until_ready(timeout=0.3)

    asyncio.run(main())


def test_a_cancelled_request_leaves_the_client_usable(url):
    async def main():
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.run("slow", {"seconds": 1}))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            back = await client.run("echo", {"int8": [[1]]})
            assert back["int8_out"].tolist() == [[1]]

    asyncio.run(main())
