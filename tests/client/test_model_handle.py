"""Models as callable objects, blocking and asynchronous, over both protocols, on a real server."""

from __future__ import annotations

import asyncio
import inspect
import pydoc

import ml_dtypes
import numpy as np
import pytest

from nosclient import (
    AsyncClient,
    AsyncModel,
    Client,
    InferenceFailed,
    InvalidInput,
    Model,
    ModelNotFound,
)
from nosclient._model_info import Signature, TensorInfo

pytestmark = pytest.mark.live


@pytest.fixture
def service(speaking_service):
    return speaking_service


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

    inputs = (
        TensorInfo("a", "FP32", (1,), optional=True),
        TensorInfo("input.1", "FP32", (1,)),
        TensorInfo("class", "FP32", (1,)),
        TensorInfo("b", "FP32", (1,)),
    )
    known = Signature("m", (), "", "", inputs, (), 0, False, "")
    operations = Client("localhost")._operations
    handle = ModelHandle(operations, ModelFacts(known, CallOptions()))
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
