"""What is refused before anything is sent, and how it is told; clients that are pickled."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    ServerUnavailable,
)
from nosclient.testing import FakeServer

pytestmark = pytest.mark.live


@pytest.fixture
def fake():
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]", "z": "FP32[1]"})
    def scorer(x):
        return {"y": x, "z": x}

    return server


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        (None, "the url is of type NoneType; write grpc://host:8001, or a list of such"),
        (8001, "the url is of type int"),
        (b"localhost:8001", "the url is of type bytes"),
        ([None], "a url is of type NoneType; write grpc://host:8001"),
        (["localhost:1", 8001], "a url is of type int"),
        ("localhost:99999", "its port is no number from 0 to 65535"),
        ("localhost:0", "has the port 0"),
        ("http://localhost:8000/v2/", "which is added to every url; write http://localhost:8000"),
        ("localhost:text", "its port is no number from 0 to 65535"),
    ],
)
def test_urls(kind, url, text):
    with pytest.raises(InvalidInput) as caught:
        kind(url)
    assert text in str(caught.value)


@pytest.mark.parametrize("deadline", ["5", -1, -0.001, float("nan"), float("-inf"), [1.0], 1j])
def test_deadlines(fake, deadline):
    with pytest.raises(InvalidInput, match=r"seconds"):
        Client(fake.url, deadline=deadline)
    with pytest.raises(InvalidInput, match=r"seconds"):
        AsyncClient(fake.url, deadline=deadline)
    with fake.client() as client:
        client.run("scorer", {"x": 1})
        handle = client.model("scorer")
        for asked in (
            lambda: client.run("scorer", {"x": 1}, deadline=deadline),
            lambda: client.model("scorer", deadline=deadline),
            lambda: client.stream("scorer", {"x": 1}, deadline=deadline),
            lambda: client.sequence("scorer", deadline=deadline).run({"x": 1}),
            lambda: client.is_ready(deadline=deadline),
            lambda: client.wait_until_ready(deadline),
        ):
            with pytest.raises(InvalidInput, match=r"seconds"):
                asked()
        assert handle(1)["y"].tolist() == [1.0]
        assert client.stats().models["scorer"].outcomes["InvalidInput"] >= 1


@pytest.mark.parametrize("parameters", [[1], "text", {1: "one"}, 5])
def test_parameters(fake, parameters):
    with fake.client() as client:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="parameter"):
                client.run("scorer", {"x": 1}, parameters=parameters)


def test_clients_are_not_pickled(fake):
    with fake.client() as client:
        for each in (client, client.model("scorer"), fake.async_client()):
            with pytest.raises(TypeError, match=r"(Client|Model) is not pickled .*: make one in"):
                pickle.dumps(each)
        with pytest.raises(TypeError, match="Client is not pickled or copied"):
            copy.copy(client)


def told(ask, kind=InvalidInput):
    with pytest.raises(kind) as caught:
        ask()
    return str(caught.value)


def test_the_name_that_was_meant(fake):
    @fake.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"}, name="scorer.explained")
    def explained(x):
        return {"y": x}

    with fake.client() as client:
        handle = client.model("scorer")
        assert "(did you mean 'scorer'?)" in told(lambda: client.run("scrorer", {}), ModelNotFound)
        assert "did you mean" not in told(lambda: client.run("zzz", {}), ModelNotFound)
        text = told(lambda: client.run("scorer", {"xx": 1}))
        assert text.startswith(
            "no input is named 'xx' (did you mean 'x'?); input 'x' is missing; expected scorer(x"
        )
        text = told(lambda: client.run("scorer", {"x": 1}, outputs=["yy"]))
        assert text.endswith("(did you mean 'y'?)")
        text = told(lambda: handle.explain, AttributeError)
        assert text.endswith("(did you mean 'explained'?)")


def test_outputs_of_a_handle_are_checked_when_it_is_made(fake):
    async def asynchronous():
        async with fake.async_client() as client:
            return await client.model("scorer", outputs="typo")

    with fake.client() as client:
        text = told(lambda: client.model("scorer", outputs="typo"))
        assert text.startswith("model 'scorer' has no output 'typo'; its outputs are y, z")
        assert told(lambda: asyncio.run(asynchronous())) == text
        assert client.model("scorer", outputs="z")(1).tolist() == [1.0]
        assert told(lambda: client.model("scorer", outputs=[])).startswith("model 'scorer' was")


def test_a_model_is_shown_with_its_outputs(fake):
    with fake.client() as client:
        info = client.get_model_info("scorer")
        assert str(info) == "scorer(x: FP32[1]) -> y: FP32[1], z: FP32[1]"
        # Short in errors, where it is about the inputs.
        text = told(lambda: client.run("scorer", {"x": "no"}))
        assert text.endswith("expected scorer(x: FP32[1])")


def test_the_deadline_is_told(url, service):
    with Client(url, deadline=30) as client:
        client.run("slow", {"seconds": [0.0]})
        with pytest.raises(DeadlineExceeded) as caught:
            client.run("slow", {"seconds": [1.0]}, deadline=0.25)
        told = f"no answer within 0.25 s to infer of 'slow' from {url}; allow more with "
        assert str(caught.value) == told + "deadline=seconds"
        with pytest.raises(DeadlineExceeded, match="the deadline passed before infer of 'slow'"):
            client.run("slow", {"seconds": [1.0]}, deadline=0)

    async def asynchronous():
        async with AsyncClient(url, deadline=0.25) as client:
            with pytest.raises(DeadlineExceeded, match="no answer within"):
                await client.run("slow", {"seconds": [1.0]})

    asyncio.run(asynchronous())


def test_a_port_without_tls_at_a_name_with_several_addresses(service):
    """Of the last address alone gRPC tells, as of ::1, where nobody listens."""
    port = service.grpc_url.rpartition(":")[2]
    client = Client(f"grpcs://localhost:{port}", deadline=10)
    text = told(client.get_service_info, ServerUnavailable)
    assert "does not speak TLS" in text
    assert f"write grpc://localhost:{port}" in text


def test_loading_at_servers_of_which_none_is_there(dead_url):
    with Client([dead_url, dead_url.replace("127.0.0.1", "127.0.0.2")], deadline=5) as client:
        text = told(lambda: client.load_model("m"), ServerUnavailable)
    assert text.count(dead_url) == 1, text
    assert text.endswith("load_model was done at none of the servers")


def test_what_a_stream_is_shown_as(fake):
    @fake.model(inputs={"n": "INT32[1]"}, outputs={"i": "INT32[1]"}, decoupled=True)
    def count(n):
        for i in range(n[0]):
            yield {"i": [i]}

    with fake.client() as client:
        chunks = client.stream("count", {"n": 2})
        assert repr(chunks) == "<Stream of 'count', open>"
        list(chunks)
        assert repr(chunks) == "<Stream of 'count', over>"
        assert repr(client.model("count")(2)) == "<ModelStream of 'count', open>"
    unread = fake.async_client().stream("count", {"n": 2})
    assert repr(unread) == "<AsyncStream of 'count', not begun>"
