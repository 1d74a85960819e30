"""The fake server as a user's tests meet it; that it answers as Triton does is told elsewhere."""

from __future__ import annotations

import asyncio
import doctest
import gc
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import nosclient.testing
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    SequenceEnded,
    ServerError,
    ServerUnavailable,
    WorkerEnded,
)
from nosclient.testing import FakeServer, InvalidFake

TEXT = {"text": "BYTES[-1,1]", "top?": "INT64[-1,1]"}
VECTOR = {"vector": "FP32[-1,4]"}


@pytest.fixture
def server():
    server = FakeServer()

    @server.model(inputs=TEXT, outputs=VECTOR, max_batch_size=8)
    def embed(text, top=None):
        """Vectors of texts."""
        return {"vector": np.full((len(text), 4), len(text[0, 0]), np.float32)}

    return server


@pytest.fixture
def client(server):
    with server.client(deadline=30) as client:
        yield client


def test_a_request_is_answered_and_kept(server, client):
    assert client.get_model_info("embed").description == "Vectors of texts."
    sent = {"text": [["a"], ["é"]], "top": [[1], [2]]}
    got = client.run("embed", sent, parameters={"lang": "en"}, outputs=["vector"])
    np.testing.assert_array_equal(got["vector"], np.ones((2, 4), np.float32))
    (request,) = server.requests
    assert request.model == "embed"
    assert request.inputs["text"].tolist() == [[b"a"], ["é".encode()]]
    assert request.inputs["top"].dtype == np.int64
    assert (request.parameters, request.outputs) == ({"lang": "en"}, ("vector",))
    assert request.timeout is not None
    assert 0 < request.timeout <= 30
    assert not request.is_stream


def test_nothing_is_shared_with_the_function(server, client):
    kept = np.zeros((1, 2), np.float32)

    @server.model(inputs={"x": "FP32[1,2]"}, outputs={"y": "FP32[1,2]"})
    def keep(x):
        with pytest.raises(ValueError, match="read-only"):
            x[0, 0] = 1
        return {"y": kept}

    sent = np.ones((1, 2), np.float32)
    got = client.run("keep", {"x": sent})
    kept[:] = 7
    assert got["y"].tolist() == [[0, 0]]
    sent[:] = 7
    assert server.requests[-1].inputs["x"].tolist() == [[1, 1]]


def test_inputs_are_checked_before_anything_is_sent(server, client):
    with pytest.raises(InvalidInput, match=r"'text' is missing; expected embed\(text: BYTES"):
        client.run("embed", {})
    with pytest.raises(InvalidInput, match="batch of 9"):
        client.run("embed", {"text": [["a"]] * 9})
    assert server.requests == []


def test_a_function_that_raises(server, client):
    raised: BaseException = ValueError("no such word")

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def failing(x):
        raise raised

    with pytest.raises(InferenceFailed, match="'failing' failed: ValueError: no such word") as told:
        client.run("failing", {"x": 1})
    assert told.value.__cause__.__cause__ is raised
    raised = ServerError("quota")  # one of ours is raised as it is
    with pytest.raises(ServerError, match=r"^quota$"):
        client.run("failing", {"x": 1})
    raised = AssertionError("the test's own")
    with pytest.raises(AssertionError, match="the test's own"):
        client.run("failing", {"x": 1})
    raised = FileNotFoundError("vocabulary.txt")  # not an error of the connection
    with pytest.raises(InferenceFailed, match="vocabulary"):
        client.run("failing", {"x": 1})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"vector": np.zeros((2, 4), np.float64)}, "as float64; it must be float32"),
        ({"vector": np.zeros((2, 3), np.float32)}, r"FP32\[-1,4\], in the shape \[2, 3\]"),
        ({"vector": np.zeros((1, 4), np.float32)}, "for 1 items; it was asked for 2"),
        ({"vector": [["a"] * 4] * 2}, "could not convert"),
        ({"vector": [[0] * 4] * 2, "more": 1}, r"unknown: \['more'\]"),
        ({}, r"missing: \['vector'\]"),
        (None, "with NoneType; it must be a mapping"),
    ],
)
def test_an_answer_that_triton_could_not_give(server, client, answer, words):
    server.models["embed"].function = lambda text: answer
    with pytest.raises(InvalidFake, match=words):
        client.run("embed", {"text": [["a"], ["b"]]})


@pytest.mark.parametrize(
    ("inputs", "function", "words"),
    [
        ({"x": "float32[1]"}, lambda x: {}, "write a datatype and a shape, such as 'FP32"),
        ({"x": "FP31[1]"}, lambda x: {}, "with one of BF16, BOOL"),
        ({"x": "FP32[1]"}, lambda x: {}, "the first axis is the batch and must be -1"),
        ({"x": "FP32[-1]"}, lambda y: {}, "must take its inputs by their names, x, optional"),
        ({"x?": "FP32[-1]"}, lambda x: {}, "optional ones with a default"),
    ],
)
def test_a_declaration_that_triton_would_not_take(inputs, function, words):
    with pytest.raises(InvalidFake, match=words):
        FakeServer().model("m", inputs=inputs, outputs={}, max_batch_size=2)(function)


def test_a_server_that_is_away_and_comes_back(server, client):
    client.run("embed", {"text": [["a"]]})
    server.stop()
    assert not client.is_ready()
    with pytest.raises(ServerUnavailable, match=rf"no connection to {server.url}.*is stopped"):
        client.run("embed", {"text": [["a"]]})
    assert len(server.requests) == 1
    threading.Timer(0.1, server.start).start()
    client.wait_until_ready(timeout=30, model="embed")
    client.run("embed", {"text": [["a"]]})
    assert client.statistics("embed").success.count == 1


def test_a_server_that_nobody_holds():
    server = FakeServer()
    url = server.url
    del server
    gc.collect()
    with Client(url) as client, pytest.raises(ServerUnavailable, match="no such FakeServer"):
        client.list_models()


def test_a_slow_model_needs_no_waiting(server, client):
    server.models["embed"].latency = 3600
    with pytest.raises(DeadlineExceeded, match="'embed'"):
        client.run("embed", {"text": [["a"]]}, deadline=3599)
    client.run("embed", {"text": [["a"]]}, deadline=3700)


def test_models_that_take_nothing_now(server, client):
    embed = server.models["embed"]
    embed.queue_is_full = True
    with pytest.raises(ModelNotReady, match=r"'embed' took no request.*maximum queue size"):
        client.run("embed", {"text": [["a"]]})
    with pytest.raises(ModelNotReady, match="maximum queue size"):
        list(client.stream("embed", {"text": [["a"]]}))
    embed.queue_is_full = False
    embed.loaded = False
    with pytest.raises(ModelNotReady, match=r"is not loaded; load it with load_model\('embed'\)"):
        client.run("embed", {"text": [["a"]]})
    embed.load_error = "no weights"
    with pytest.raises(ModelLoadFailed, match="no weights"):
        client.load_model("embed")
    embed.load_error = ""
    client.load_model("embed")
    client.run("embed", {"text": [["a"]]})


def test_a_model_that_is_replaced(server, client):
    client.run("embed", {"text": [["a"]]})  # its signature is remembered from here on

    @server.model("embed", inputs={"tokens": "INT64[-1]"}, outputs={"vector": "FP32[4]"})
    def other(tokens):
        return {"vector": [0, 0, 0, 1]}

    with pytest.raises(InvalidInput, match="'text'"):
        client.run("embed", {"text": [["a"]]})
    assert client.run("embed", {"tokens": [1, 2]})["vector"].tolist() == [0, 0, 0, 1]
    del server.models["embed"]
    with pytest.raises(ModelNotFound, match="no model 'embed'; it has: none"):
        client.run("embed", {"tokens": [1, 2]})


def test_streams(server, client):
    closed = []

    @server.model(inputs={"n": "INT64[1]"}, outputs={"word": "BYTES[1]"}, decoupled=True)
    def chat(n):
        try:
            for number in range(int(n[0])):
                yield {"word": [str(number)]}
            raise ValueError("out of words")
        finally:
            closed.append(True)

    with pytest.raises(InvalidInput, match="streams its answers"):
        client.run("chat", {"n": 1})
    with client.stream("chat", {"n": 9}) as chunks:
        assert [next(chunks)["word"].item() for _ in range(2)] == [b"0", b"1"]
    assert closed == [True]
    with pytest.raises(InferenceFailed, match="out of words"):
        for chunk in client.stream("chat", {"n": 2}):
            assert chunk["word"].item() in (b"0", b"1")
    server.models["chat"].latency = 2.0  # each
    came = []
    with pytest.raises(DeadlineExceeded, match="the whole of it"):
        came.extend(client.stream("chat", {"n": 9}, deadline=5))
    came.clear()
    with pytest.raises(ServerUnavailable, match="was stopped"):
        for chunk in client.stream("chat", {"n": 9}):
            came.append(chunk)
            server.stop()
    assert len(came) == 1

    async def asynchronous():
        server.start()
        async with server.async_client() as client:
            stream = client.stream("chat", {"n": 9})
            found = [(await anext(stream))["word"].item()]
            stream.cancel()
            return found + [chunk async for chunk in stream]

    assert asyncio.run(asynchronous()) == [b"0"]


def test_a_stream_that_triton_could_not_give(server, client):
    declared = {"inputs": {}, "outputs": {"y": "FP32[1]"}, "decoupled": True}
    server.model("one", **declared)(lambda: {"y": [1]})
    with pytest.raises(InvalidFake, match="it must yield its answers"):
        next(client.stream("one", {}))
    server.model("other", **declared)(lambda: [{"y": [1]}, {"y": [1, 2]}])
    chunks = client.stream("other", {})
    assert next(chunks)["y"].tolist() == [1]
    with pytest.raises(InvalidFake, match=r"in the shape \[2\]"):
        next(chunks)


def test_sequences(server, client):
    @server.model(inputs={"x": "INT64[1]"}, outputs={"total": "INT64[1]"}, sequence=True)
    def total(state, x):
        state["total"] = state.get("total", 0) + x
        if x == 13:
            raise ValueError("not that one")
        return {"total": state["total"]}

    with client.sequence("total") as sequence:
        assert sequence.run({"x": 1})["total"].item() == 1
        with pytest.raises(InferenceFailed, match="not that one"):
            sequence.run({"x": 13})
        assert sequence.run({"x": 2})["total"].item() == 3
        assert total.open_sequences == 1
    assert total.open_sequences == 0
    first, *_, last = (request.sequence for request in server.requests)
    assert (first.start, first.end, last.start, last.end) == (True, False, False, True)
    with client.sequence("total") as sequence:
        sequence.run({"x": 1})
        server.start()
        with pytest.raises(SequenceEnded, match="does not know it any more"):
            sequence.run({"x": 1})


def test_a_sequence_ends_with_the_worker_that_kept_its_state(server, client):
    @server.model(inputs={"x": "INT64[1]"}, outputs={"y": "INT64[1]"}, sequence=True)
    def dies(state, x):
        if x == 13:
            raise WorkerEnded("it has ended")
        return {"y": x}

    with client.sequence("dies") as sequence:
        sequence.run({"x": 1})
        with pytest.raises(WorkerEnded):
            sequence.run({"x": 13})
        with pytest.raises(SequenceEnded, match="it has ended"):
            sequence.run({"x": 2})


def test_code_that_makes_its_own_client(server):
    async def embed_all(url, texts):
        async with AsyncClient(url) as client:
            got = await asyncio.gather(*(client.run("embed", {"text": [[t]]}) for t in texts))
        return [each["vector"][0, 0] for each in got]

    assert asyncio.run(embed_all(server.url, ["a", "bb", "ccc"])) == [1, 2, 3]
    assert repr(server) == f"<FakeServer {server.url}: embed>"


def test_the_examples_in_its_docstrings():
    modules = nosclient.testing, sys.modules[nosclient.testing.FakeServer.__module__]
    found = [doctest.testmod(module) for module in modules]
    assert [one.attempted >= 3 for one in found] == [True, True]
    assert not any(one.failed for one in found)


def test_the_examples_in_the_docs(capsys):
    text = (Path(__file__).parents[2] / "docs/07-client.md").read_text()
    names: dict[str, object] = {}
    for heading in ("Testing your code", "Statistics and tracing"):
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        exec(block, names)
    printed = capsys.readouterr().out
    assert "model 'embed' took no request" in printed
    assert "embed  1 ok; p50 " in printed
    assert "wire   7 B sent, 8 B received" in printed


def test_importing_the_client_does_not_import_it():
    import subprocess
    import sys

    code = "import sys, nosclient; assert 'nosclient.testing' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert nosclient.testing.__all__
