"""Streams of models that are not nosbuild's, through both clients, against a real server."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
import tritonclient.grpc

from nosclient import (
    AsyncClient,
    Client,
    ClientClosed,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerUnavailable,
)

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def grpc_url(service):
    with Client(service.grpc_url) as client:
        client.load_model("ticker")
    return service.grpc_url


@pytest.fixture
def client(grpc_url):
    with Client(grpc_url, deadline=30) as client:
        yield client


def collected(url, *arguments, **options):
    """The same stream through both clients: what came, and the error that ended it."""

    def blocking():
        got = []
        with Client(url, deadline=30) as client:
            try:
                got.extend(client.stream(*arguments, **options))
            except NosClientError as error:
                return got, error
        return got, None

    async def asynchronous():
        got = []
        async with AsyncClient(url, deadline=30) as client:
            try:
                async for chunk in client.stream(*arguments, **options):
                    got.append(chunk)
            except NosClientError as error:
                return got, error
        return got, None

    yield blocking()
    yield asyncio.run(asynchronous())


def ticks(chunks):
    return [chunk["tick"].tolist() for chunk in chunks]


@pytest.mark.parametrize("last_with_chunk", [True, False])
def test_all_chunks_in_order(grpc_url, last_with_chunk):
    sent = {"n": 100, "echo": ["é", b"\x00\xff", ""]}
    parameters = {"last_with_chunk": last_with_chunk}
    for chunks, error in collected(grpc_url, "ticker", sent, parameters=parameters):
        assert error is None
        assert ticks(chunks) == [[number] for number in range(100)]
        assert all(c["echoed"].tolist() == ["é".encode(), b"\x00\xff", b""] for c in chunks)


def test_no_chunk_at_all(grpc_url):
    for chunks, error in collected(grpc_url, "ticker", {"n": 0}):
        assert (chunks, error) == ([], None)


def test_only_the_outputs_asked_for(grpc_url):
    sent = {"n": 2, "echo": ["a"]}
    for chunks, _ in collected(grpc_url, "ticker", sent, outputs=["echoed"]):
        assert [list(chunk) for chunk in chunks] == [["echoed"], ["echoed"]]


def test_a_model_with_one_answer_gives_one_chunk(grpc_url):
    for dtype in ("fp32", "bool", "int64"):
        sent = np.ones((2, 3)).astype({"fp32": "f4"}.get(dtype, dtype))
        for (chunk,), error in collected(grpc_url, "echo", {dtype: sent}, version=1):
            assert error is None
            np.testing.assert_array_equal(chunk[f"{dtype}_out"], sent)


def test_a_failure_comes_after_the_chunks_before_it(grpc_url):
    for chunks, error in collected(grpc_url, "ticker", {"n": 5}, parameters={"fails_at": 2}):
        assert ticks(chunks) == [[0], [1]]
        assert isinstance(error, InferenceFailed)
        assert "'ticker' failed: does not like this number" in str(error)


@pytest.mark.parametrize(
    ("error", "words", "arguments", "options"),
    [
        (InvalidInput, "input 'n' is missing; expected ticker", ("ticker", {}), {}),
        (InvalidInput, "no output 'tock'", ("ticker", {"n": 1}), {"outputs": ["tock"]}),
        (InvalidInput, "reserved", ("ticker", {"n": 1}), {"parameters": {"timeout": 1}}),
        (InvalidInput, "not supported", ("ticker", {"n": 1}), {"parameters": {"a": None}}),
        (InvalidInput, "own", ("ticker", {"n": 1}), {"parameters": {"stream_id": "a"}}),
        (ModelNotFound, "no model 'minilm'; it has: broken", ("minilm", {}), {}),
        (ModelNotFound, "no version 7", ("ticker", {"n": 1}), {"version": 7}),
        (ModelNotReady, "'broken'", ("broken", {"x": 1}), {}),
        (DeadlineExceeded, "the whole of it", ("ticker", {"n": 9, "seconds": 9}), {"deadline": 1}),
        (DeadlineExceeded, "deadline", ("ticker", {"n": 9}), {"deadline": 0}),
    ],
)
def test_errors_are_those_of_run(grpc_url, error, words, arguments, options):
    for chunks, found in collected(grpc_url, *arguments, **options):
        assert ticks(chunks) in ([], [[0]])
        assert type(found) is error
        assert words in str(found)


def test_nobody_answers(dead_url):
    if dead_url.startswith("grpc"):
        for chunks, error in collected(dead_url, "ticker", {"n": 1}):
            assert chunks == []
            assert isinstance(error, ServerUnavailable)


def test_a_model_that_was_unloaded_since(grpc_url, client):
    list(client.stream("ticker", {"n": 1}))  # its signature is remembered from here on
    with Client(grpc_url) as other:
        other.unload_model("ticker")
        with pytest.raises(ModelNotReady, match=r"load_model\('ticker'\)"):
            while True:  # unloading goes on in the background; a request may still get in
                list(client.stream("ticker", {"n": 1}))
        other.load_model("ticker")
    assert len(list(client.stream("ticker", {"n": 1}))) == 1


def test_http_says_what_to_do_instead(service):
    with Client(service.http_url) as client, pytest.raises(InvalidInput, match="make the client"):
        client.stream("ticker", {"n": 1})
    with pytest.raises(InvalidInput, match="make the client"):
        AsyncClient(service.http_url).stream("ticker", {"n": 1})


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_run_says_what_to_do_instead(grpc_url, service, protocol):
    with Client(grpc_url if protocol == "grpc" else service.http_url) as client:
        with pytest.raises(InvalidInput, match=r"stream\('ticker', inputs\)"):
            client.run("ticker", {"n": 1})
        # And where it became such a model after it was last looked at.
        with tritonclient.grpc.InferenceServerClient(grpc_url) as other:
            config = other.get_model_config("ticker", as_json=True)["config"]
            plain = {key: config[key] for key in config if key != "model_transaction_policy"}
            other.load_model("ticker", config=json.dumps(plain))
            assert not client.get_model_info("ticker").decoupled
            other.load_model("ticker", config=json.dumps(config))
        with pytest.raises(InvalidInput, match=r"stream\('ticker', inputs\)"):
            client.run("ticker", {"n": 1})
        assert client.get_model_info("ticker").decoupled


def test_other_calls_go_on_beside_a_stream_that_nobody_reads(client):
    sent = {"n": 2000, "echo": ["a" * 1000]}
    stalled = [client.stream("ticker", sent) for _ in range(4)]
    for _ in range(20):
        assert ticks(client.stream("ticker", {"n": 2})) == [[0], [1]]
        assert client.run("echo", {"int8": [[1]]})["int8_out"].tolist() == [[1]]
    # To the end: Triton 2.51 may die of a stream that is cancelled while it writes so much to it
    # (github.com/triton-inference-server/server/issues/7368).
    for chunks in stalled:
        assert ticks(chunks) == [[number] for number in range(2000)]
        chunks.close()
        chunks.close()
        assert list(chunks) == []


def test_closing_the_client_ends_its_streams(grpc_url):
    client = Client(grpc_url)
    chunks = client.stream("ticker", {"n": 2, "seconds": 60})
    next(chunks)
    errors = []

    def read():
        try:
            next(chunks)
        except NosClientError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    client.close()
    reader.join(30)
    assert not reader.is_alive()
    assert len(errors) == 1
    with pytest.raises(ClientClosed):
        client.stream("ticker", {"n": 1})


def test_an_asynchronous_stream_is_cancelled_or_left(grpc_url):
    async def main():
        async with AsyncClient(grpc_url, deadline=30) as client:
            sent = {"n": 9, "seconds": 60}
            chunks = client.stream("ticker", sent)
            assert ticks([await anext(chunks)]) == [[0]]
            waiting = asyncio.create_task(anext(chunks, None))
            await asyncio.sleep(0.2)
            chunks.cancel()
            assert await waiting is None

            reader = asyncio.create_task(anext(client.stream("ticker", {"n": 0, "seconds": 60})))
            unread = client.stream("ticker", sent)
            unread.cancel()
            assert [chunk async for chunk in unread] == []
            async with client.stream("ticker", sent) as chunks:
                async for chunk in chunks:
                    assert chunk["tick"].tolist() == [0]
                    break
            with pytest.raises(StopAsyncIteration):
                await reader
            task = asyncio.create_task(anext(client.stream("ticker", {"n": 1, "seconds": 0})))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.run("echo", {"int8": [[1]]}))["int8_out"].tolist() == [[1]]

    asyncio.run(main())


def test_a_program_with_an_open_stream_ends(grpc_url):
    import subprocess
    import sys

    code = (
        "import sys, nosclient\n"
        "chunks = nosclient.Client(sys.argv[1]).stream('ticker', {'n': 9, 'seconds': 60})\n"
        "print(next(chunks)['tick'])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, grpc_url], capture_output=True, text=True, timeout=50
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("[0]\n", "", 0)
