"""A model that is published anew, with another signature, under clients that know the old one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from nosbuild import serve
from nosclient import AsyncClient, Client, InvalidInput

pytestmark = pytest.mark.live

# It takes its names from the configuration: two versions of a file within one second are one to
# Python, whose cache of compiled modules knows them by time and size.
MODEL = """
import json
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._x, self._y = config["input"][0]["name"], config["output"][0]["name"]

    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(each, self._x).as_numpy() for each in requests]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(self._y, each * each.dtype.type(2))])
            for each in x
        ]
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input {{ name: "{x}", data_type: TYPE_{dtype}, dims: [ {size} ] }}
output {{ name: "{y}", data_type: TYPE_{dtype}, dims: [ {size} ] }}
"""
SIZE = 1 << 16


@pytest.fixture(scope="module")
def publishing(tmp_path_factory):
    """``publish(x=, y=, dtype=, size=)``: the model, anew; and a server that serves it."""
    repository = tmp_path_factory.mktemp("republished")

    def write(x="x", y="y", dtype="FP32", size=SIZE):
        folder = repository / "doubled"
        (folder / "1").mkdir(parents=True, exist_ok=True)
        (folder / "1" / "model.py").write_text(MODEL)
        config = CONFIG.format(x=x, y=y, dtype=dtype, size=size)
        (folder / "config.pbtxt").write_text(config)

    write()
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, announce=False, **ports) as service:

        def publish(**changes):
            write(**changes)
            with Client(service.http_url, deadline=60) as another:
                another.load_model("doubled")

        yield service, publish


@pytest.fixture
def service(publishing):
    publishing[1]()
    return publishing[0]


@pytest.fixture
def publish(publishing):
    return publishing[1]


@pytest.fixture(params=["off", "system"])
def knowing(request, url):
    """A client that has run the model as it was."""
    with Client(url, deadline=30, shared_memory=request.param) as client:
        x = np.ones((1, SIZE), np.float32)
        for _ in range(2):
            assert client.run("doubled", {"x": x})["y"].sum() == 2 * SIZE
        yield client


def test_a_renamed_output(knowing, publish):
    x = np.ones((1, SIZE), np.float32)
    called = knowing.model("doubled")
    publish(y="z")
    answer = knowing.run("doubled", {"x": x})
    assert list(answer) == ["z"]
    assert answer["z"].sum() == 2 * SIZE
    with pytest.raises(InvalidInput, match="it gave z in place of y; take a new handle"):
        called(x)
    with pytest.raises(InvalidInput, match=r"no output 'y'.*\bz\b"):
        knowing.run("doubled", {"x": x}, outputs=["y"])
    publish(y="w")
    with pytest.raises(InvalidInput, match=r"no output 'z'.*\bw\b"):
        knowing.run("doubled", {"x": x}, outputs=["z"])
    assert knowing.model("doubled")(x).sum() == 2 * SIZE


def test_a_renamed_input(knowing, publish):
    x = np.ones((1, SIZE), np.float32)
    publish(x="a")
    assert knowing.run("doubled", {"a": x})["y"].sum() == 2 * SIZE
    publish(x="b")
    with pytest.raises(InvalidInput, match=r"\bb: FP32"):
        knowing.run("doubled", {"a": x})


def test_another_dtype_and_another_size(knowing, publish):
    publish(dtype="INT32", size=2 * SIZE)
    answer = knowing.run("doubled", {"x": np.ones((1, 2 * SIZE), np.int32)})["y"]
    assert (answer.dtype, answer.sum()) == (np.int32, 4 * SIZE)
    publish(dtype="FP64", size=2 * SIZE)  # a list fits both; it is sent as what the model was
    answer = knowing.run("doubled", {"x": np.ones((1, 2 * SIZE), np.int32).tolist()})["y"]
    assert (answer.dtype, answer.sum()) == (np.float64, 4 * SIZE)


def test_the_asynchronous_client(url, publish):
    x = np.ones((1, SIZE), np.float32)

    async def main():
        async with AsyncClient(url, deadline=30, shared_memory="system") as client:
            await client.run("doubled", {"x": x})
            publish(y="z")
            assert list(await client.run("doubled", {"x": x})) == ["z"]

    asyncio.run(main())


def test_what_the_server_refuses_is_asked_for_once_more_at_most(url, publish):
    """A refusal that has another reason than the signature stays one."""
    with Client(url, deadline=30) as client:
        client.run("doubled", {"x": np.ones((1, SIZE), np.float32)})
        sent, perform = [], client._transports[0].perform

        def refusing(call):
            sent.append(call.method)
            if call.method == "infer":
                raise InvalidInput("as it was told")
            return perform(call)

        client._transports[0].perform = refusing
        with pytest.raises(InvalidInput, match="as it was told"):
            client.run("doubled", {"x": np.ones((1, SIZE), np.float32)})
        assert sent == ["infer", "get_model_metadata", "get_model_config"]
