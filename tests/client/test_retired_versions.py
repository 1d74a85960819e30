"""A version that a newer one took the place of, and a model that is still being loaded."""

from __future__ import annotations

import asyncio
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nosbuild import serve
from nosclient import AsyncClient, Client, InferenceFailed, ModelNotFound, ModelNotReady
from nosclient._call import Call
from nosclient._refusals import explained
from nosclient._repository_index import RepositoryIndex

pytestmark = pytest.mark.live

# It waits for as long as there is a file named "wait" in its repository.
MODEL = """
import os, time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        while os.path.exists(os.path.join(args["model_repository"], "wait")):
            time.sleep(0.05)

    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", each)]) for each in x]
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "x", data_type: TYPE_FP32, dims: [ 1 ] }
output { name: "y", data_type: TYPE_FP32, dims: [ 1 ] }
"""
X = {"x": np.ones((1, 1), np.float32)}
GONE = "model 'scorer' has no version 1 ready; it has 2"


def published(folder, *versions):
    for version in versions:
        (folder / "scorer" / version).mkdir(parents=True)
        (folder / "scorer" / version / "model.py").write_text(MODEL)
    (folder / "scorer" / "config.pbtxt").write_text(CONFIG)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    return serve(folder, announce=False, **ports)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A server on which version 2 has taken the place of version 1."""
    folder = tmp_path_factory.mktemp("retired")
    with published(folder, "1") as running:
        with Client(running.grpc_url, deadline=60) as client:
            client.run("scorer", X, version=1)
            shutil.copytree(folder / "scorer" / "1", folder / "scorer" / "2")
            client.load_model("scorer")
            while client.is_ready("scorer") and len(client.list_models()) < 2:
                time.sleep(0.05)
            until = time.monotonic() + 30
            while {row.version for row in client.list_models() if row.state == "READY"} != {"2"}:
                assert time.monotonic() < until
                time.sleep(0.05)
        yield running, folder


@pytest.fixture(params=["grpc", "http"])
def url(request, service):
    running, _ = service
    return f"grpc://{running.grpc_url}" if request.param == "grpc" else running.http_url


def test_a_version_that_was_replaced_is_not_found(url):
    with Client(url, deadline=30) as client:
        assert client.run("scorer", X, version=2)["y"].tolist() == [[1.0]]
        client._operations._signatures["scorer", "1"] = client._operations._signatures[
            "scorer", "2"
        ]  # as it knows it that has run version 1 before
        for _ in range(2):  # the second time without that knowledge
            with pytest.raises(ModelNotFound) as caught:
                client.run("scorer", X, version=1)
            assert str(caught.value) == GONE
        with pytest.raises(ModelNotFound, match="it has 2"):
            client.get_model_info("scorer", 1)
        if url.startswith("grpc"):
            client._operations._signatures["scorer", "1"] = client._operations._signatures[
                "scorer", "2"
            ]
            for _ in range(2):
                with pytest.raises(ModelNotFound) as caught:
                    list(client.stream("scorer", X, version=1))
                assert str(caught.value) == GONE

    async def asynchronous():
        async with AsyncClient(url, deadline=30) as client:
            with pytest.raises(ModelNotFound) as caught:
                await client.run("scorer", X, version=1)
            assert str(caught.value) == GONE

    asyncio.run(asynchronous())


def test_another_server_may_have_the_version(service, tmp_path):
    running, _ = service
    with (
        published(tmp_path, "1") as older,
        Client([running.grpc_url, older.grpc_url], deadline=30) as client,
    ):
        for _ in range(6):
            assert client.run("scorer", X, version=1)["y"].tolist() == [[1.0]]
        assert not any(server.failures for server in client._routing._endpoints._servers)
        with pytest.raises(ModelNotFound):
            client.run("scorer", X, version=3)


def test_a_model_that_is_being_loaded_is_waited_for(service, url):
    running, folder = service
    (folder / "scorer" / "wait").touch()
    # Loading over HTTP holds up one of Triton's threads, and all who are connected to that one.
    other = Client(running.grpc_url, deadline=60)
    with Client(url, deadline=60) as client, other, ThreadPoolExecutor(1) as pool:
        other.unload_model("scorer")
        until = time.monotonic() + 30
        while other.is_ready("scorer") and time.monotonic() < until:
            time.sleep(0.05)
        try:
            loading = pool.submit(other.load_model, "scorer")
            while not any(row.state == "LOADING" for row in other.list_models()):
                assert time.monotonic() < until
                time.sleep(0.02)
            with pytest.raises(ModelNotReady) as caught:
                client.run("scorer", X)
        finally:
            (folder / "scorer" / "wait").unlink()
        loading.result()
    text = "model 'scorer' is LOADING; wait for it with wait_until_ready(model='scorer')"
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("state", "reason", "advice"),
    [
        ("LOADING", "", "is LOADING; wait for it with wait_until_ready(model='m')"),
        (
            "UNLOADING",
            "",
            "is UNLOADING; load it with load_model('m'), or wait with "
            "wait_until_ready(model='m') if another program does",
        ),
        ("UNAVAILABLE", "unloaded", "is not loaded; load it with load_model('m')"),
    ],
)
def test_what_helps_in_each_state(state, reason, advice):
    operation = explained(RepositoryIndex(1), ModelNotFound("unknown"), "m", "", InferenceFailed)
    assert isinstance(next(operation), Call)
    row = {"name": "m", "version": "1", "state": state, "reason": reason}
    with pytest.raises(StopIteration) as ended:
        operation.send([row])
    error = ended.value.value
    assert isinstance(error, ModelNotReady)
    assert str(error) == f"model 'm' {advice}"
