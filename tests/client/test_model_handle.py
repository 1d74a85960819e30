"""Models as callable objects, blocking and asynchronous, over both protocols, on a real server."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import pydoc
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import aclosing
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from nosclient import (
    AsyncClient,
    AsyncModel,
    Client,
    ClientClosed,
    InferenceFailed,
    InvalidInput,
    Model,
    ModelNotFound,
)
from nosclient._model_info import Signature, TensorInfo
from python_folders import write_class

pytestmark = pytest.mark.live

SPEAKER = """
    from collections.abc import Iterator
    from typing import Annotated

    import numpy as np


    class Speaker:
        def __call__(self, text: str) -> str:
            return text.upper()

        def count(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

        def scaled(self, x: Annotated[np.ndarray, "float32[2]"], by: float = 2.0
                   ) -> Annotated[np.ndarray, "float32[2]"]:
            return x * np.float32(by)

        def stream(self, text: str) -> Iterator[str]:
            yield from text.split()
"""
YAML = """
description: Speaks up.
source: {python: "model.py:Speaker"}
methods: [__call__, count, scaled, stream]
samples: "samples.py:samples"
"""
SAMPLES = """
    import numpy as np

    def samples():
        for n, text in enumerate(["one", "two words", "a b c"]):
            yield {"text": text, "texts": text, "x": np.array([n, 1], np.float32)}
"""
SMALL = ["echo", "failing", "narrow", "scalar", "slow", "ticker", "totals"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    from nosbuild import serve
    from nosbuild.steps import build

    repository = tmp_path_factory.mktemp("handles")
    for name in SMALL:
        shutil.copytree(Path(__file__).parent / "models" / name, repository / name)
    build(write_class(repository / "speaker", SPEAKER, YAML, SAMPLES))
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, announce=False, **ports) as running:
        yield running


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request, url):
    """``call(name, *values, **inputs)``: the model called through either client."""

    def blocking(name, *values, **inputs):
        with Client(url, deadline=30) as client:
            return client.model(name)(*values, **inputs)

    def asynchronous(name, *values, **inputs):
        async def main():
            async with AsyncClient(url, deadline=30) as client:
                model = await client.model(name)
                return await model(*values, **inputs)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else asynchronous


def test_a_batch_or_one_item(call):
    both = call("speaker.scaled", x=np.ones((3, 2), np.float32), by=[3, 4, 5])
    assert both.tolist() == [[3, 3], [4, 4], [5, 5]]
    one = call("speaker.scaled", x=[1, 2], by=3)
    assert one.tolist() == [3, 6]
    assert call("speaker.scaled", x=[1, 2], by=[3]).tolist() == [3, 6]
    assert call("speaker.scaled", x=[[1, 2]], by=[3]).tolist() == [[3, 6]]
    assert call("speaker.scaled", [1, 2]).tolist() == [2, 4]
    assert call("speaker", "word").tolist() == [b"WORD"]
    assert call("speaker", ["a", "b"]).tolist() == [[b"A"], [b"B"]]
    assert call("speaker", ["a"]).tolist() == [[b"A"]]


def test_a_mixture_names_both(call):
    for inputs, has, lacks in [
        ({"x": np.ones((2, 2), np.float32), "by": 3}, r"'x' \[2, 2\]", r"'by' \[\]"),
        ({"x": [1, 2], "by": [[3]]}, r"'by' \[1, 1\]", r"'x' \[2\]"),
        ({"x": [1, 2], "by": [3, 4]}, r"'by' \[2\]", r"'x' \[2\]"),
    ]:
        words = f"input {has} has the batch axis and input {lacks} has not: pass all"
        with pytest.raises(InvalidInput, match=words):
            call("speaker.scaled", **inputs)
    with pytest.raises(InvalidInput, match="differ in batch size: x has 2, by has 3"):
        call("speaker.scaled", np.ones((2, 2), np.float32), [1, 2, 3])
    with pytest.raises(InvalidInput, match="3 axes instead of 2"):
        call("speaker.scaled", x=[[[1, 2]]])


def test_several_outputs_come_by_name(call):
    answer = call("scalar", 3, ["word"], [[1, 2]])
    assert {name: array.tolist() for name, array in answer.items()} == {
        "doubled": [6],
        "upper": [b"WORD"],
        "transposed": [[1], [2]],
    }


def test_arguments(call):
    for values, inputs, words in [
        ((1, 2, 3, 4), {}, "'scalar' takes 3 inputs by position, and 4 were given; expected"),
        ((1,), {"x": 1}, "'scalar' was given input 'x' twice; expected scalar"),
        (({"x": 1},), {}, r"given a mapping by position: pass it as \*\*inputs"),
        ((1,), {"word": "a"}, "no input is named 'word'; input 'text' is missing"),
        ((None, "a", [[1, 2]]), {}, "holds NoneType objects"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            call("scalar", *values, **inputs)
    assert call("speaker.scaled", [1, 2], None).tolist() == [2, 4]


def test_bfloat16_there_and_back(call):
    torch = pytest.importorskip("torch")
    sent = torch.randn(2, 5).to(torch.bfloat16)
    back = call("narrow", sent)
    assert back.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(back.view(np.int16), sent.view(torch.int16).numpy(), strict=True)
    assert call("narrow", np.array([1.5, -2], np.float32)).tolist() == [1.5, -2]


def test_models_that_are_called_another_way(call):
    with pytest.raises(InvalidInput, match=r"client\.sequence\('totals'\)"):
        call("totals", [[1]])
    with pytest.raises(ModelNotFound, match="no model 'minilm'; it has:"):
        call("minilm", 1)
    with pytest.raises(InferenceFailed, match="does not like"):
        call("failing", 1)


def test_a_handle_tells_what_it_takes(url):
    with Client(url, deadline=30) as client:
        scaled, speaker = client.model("speaker.scaled"), client.model("speaker")
        words = client.model("speaker").stream
        echo, ticker = client.model("echo", outputs="int8_out"), client.model("ticker")
        scalar = client.model("scalar")
    signature = inspect.signature(scaled)
    assert str(signature) == "(x: FP32[-1,2], by: FP64[-1,1] = None) -> FP32[-1,2]"
    assert signature.bind([1, 2]).arguments == {"x": [1, 2]}
    assert str(inspect.signature(speaker)) == "(text: BYTES[-1,1]) -> BYTES[-1,1]"
    assert repr(speaker) == "<Model speaker(text: BYTES[-1,1]) -> BYTES[-1,1]>"
    assert str(inspect.signature(words)) == "(text: BYTES[1]) -> Iterator[BYTES[1]]"
    assert "Iterator[{tick: INT64[1], " in str(inspect.signature(ticker))
    assert str(inspect.signature(scalar)).endswith(
        "-> {doubled: FP32[1], upper: BYTES[1], transposed: FP32[2,-1]}"
    )
    assert str(inspect.signature(echo)).endswith("= None) -> INT8[-1,-1]")
    told = pydoc.plain(pydoc.render_doc(speaker))
    assert "Speaks up.\n" in told
    assert "    text: BYTES[-1,1]\n" in told
    assert "Methods: count, scaled, stream" in told
    assert "up to " in told
    assert "It streams" in (words.__doc__ or "")
    assert "may be left out" in (scaled.__doc__ or "")
    assert "speaker.count" not in dir(speaker)
    assert {"count", "scaled", "stream", "map", "submit"} <= set(dir(speaker))


def test_names_that_python_does_not_allow():
    from nosclient._model_handle import CallOptions, ModelFacts, ModelHandle
    from nosclient._operations import Operations

    inputs = (
        TensorInfo("a", "FP32", (1,), optional=True),
        TensorInfo("input.1", "FP32", (1,)),
        TensorInfo("class", "FP32", (1,)),
        TensorInfo("b", "FP32", (1,)),
    )
    known = Signature("m", (), "", "", inputs, (), 0, False, "")
    handle = ModelHandle(Operations(None), ModelFacts(known, CallOptions()))
    assert str(handle.__signature__) == "(a: FP32[1] = None, *, b: FP32[1], **inputs) -> {}"
    assert handle._bound((1,), {"input.1": 2, "class": 3}) == {"a": 1, "input.1": 2, "class": 3}


def test_methods_are_attributes(service, url):
    with Client(url, deadline=30) as client:
        speaker = client.model("speaker")
        assert isinstance(speaker.count, Model)
        assert speaker.count(texts=["a", "bc"]).tolist() == [[1], [2]]
        with pytest.raises(AttributeError, match="ready; the methods of 'speaker' are: count, sca"):
            _ = speaker.summarize
        with pytest.raises(AttributeError, match=r"are: none"):
            _ = client.model("scalar").stream
        assert not hasattr(speaker, "_nothing")
        assert client.model("speaker", version=1).count.name == "speaker.count"
        with pytest.raises(ModelNotFound):
            client.model("speaker", version=7)
    with Client(service.grpc_url, deadline=30) as client:
        chunks = list(client.model("speaker").stream(text="so many words"))
        assert [chunk.tolist() for chunk in chunks] == [[b"so"], [b"many"], [b"words"]]
        ticker = client.model("ticker")
        assert ticker.stream is ticker
        with ticker(3) as ticks:
            assert [tick["tick"].item() for tick in ticks] == [0, 1, 2]
        only = client.model("ticker", outputs=["tick"])
        assert [tick.item() for tick in only(n=2)] == [0, 1]
        for method in (ticker.submit, lambda n: ticker.map([n])):
            with pytest.raises(InvalidInput, match="streams its answers"):
                method(3)
    with Client(service.http_url) as client, pytest.raises(InvalidInput, match="cannot stream"):
        client.model("ticker")(3)


def test_methods_and_streams_of_an_event_loop(service, url):
    async def main():
        async with AsyncClient(url, deadline=30) as client:
            speaker = await client.model("speaker")
            assert isinstance(speaker, AsyncModel)
            assert (await speaker.count(texts=["a", "bc"])).tolist() == [[1], [2]]
            assert repr(speaker.count).startswith("<AsyncModel speaker.count(texts: ")
        async with AsyncClient(service.grpc_url, deadline=30) as client:
            speaker = await client.model("speaker")
            assert [c.item() async for c in speaker.stream("two words")] == [b"two", b"words"]

    asyncio.run(main())


def test_options(url):
    with Client(url, deadline=30) as client:
        echo = client.model("echo", outputs=["int8_out"])
        assert echo(int8=[[1, 2]], fp32=[[1]]).tolist() == [[1, 2]]
        with pytest.raises(InvalidInput, match="no output 'y'"):
            client.model("scalar", outputs=["y"])(1, "a", [[1, 2]])
        with pytest.raises(InvalidInput, match="reserved"):
            client.model("echo", parameters={"timeout": 1})(int8=[[1]])


def test_a_model_that_was_replaced_takes_what_it_takes_now(client):
    scalar = client.model("scalar", outputs="doubled")
    known = client._operations._signatures["scalar", ""]
    old = Signature("scalar", ("1",), "", "", known.inputs[:1], known.outputs, 0, False, "")
    client._operations._signatures["scalar", ""] = old  # as it was before, say
    assert scalar(3, "word", [[1, 2]]).tolist() == [6]


def test_not_strict(url):
    x = np.array([1.1, 2.0])
    with Client(url) as client, pytest.raises(InvalidInput, match=r"astype\(np\.float32\)"):
        client.model("speaker.scaled")(x)
    with Client(url, strict=False) as client:
        expected = x.astype(np.float32) * 2
        assert client.model("speaker.scaled")(x).tolist() == expected.tolist()
        assert client.run("speaker.scaled", {"x": x[None]})["output"].tolist() == [
            expected.tolist()
        ]


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
    lock, perform = threading.Lock(), client._transport.perform

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

    client._transport.perform = counting
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
        tasks = [slow.submit(0.3) for _ in range(4)]
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
