"""The blocking client against a real server, over both protocols."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from counters import counted, quiet

from nosclient import (
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    ServerUnavailable,
)

pytestmark = pytest.mark.live

SCALAR = {"x": 3, "text": "word", "matrix": [[1, 2]]}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("bool", "?"), ("fp16", "f2"), ("fp32", "f4"), ("fp64", "f8")]
    + [
        (f"{sign}int{8 * size}", f"{sign or 'i'}{size}")
        for sign in ("", "u")
        for size in (1, 2, 4, 8)
    ],
)
def test_every_dtype_comes_back(client, name, dtype):
    sent = np.random.default_rng(0).integers(0, 100, (4, 3)).astype(dtype)
    got = client.run("echo", {name: sent})
    assert list(got) == [f"{name}_out"]
    back = got[f"{name}_out"]
    assert back.dtype == sent.dtype
    np.testing.assert_array_equal(back, sent)


def test_strings_come_back_as_bytes(client):
    sent = [["é", b"\x00\xff\x00"], ["", "long" * 5000]]
    back = client.run("echo", {"string": sent})["string_out"]
    assert back.dtype == object
    assert back.tolist() == [["é".encode(), b"\x00\xff\x00"], [b"", b"long" * 5000]]


def test_empty_and_strided_arrays(client):
    assert client.run("echo", {"fp32": np.ones((2, 0), np.float32)})["fp32_out"].shape == (2, 0)
    sent = np.arange(24, dtype=np.int32).reshape(6, 4).T[:, ::2]
    np.testing.assert_array_equal(client.run("echo", {"int32": sent})["int32_out"], sent)


def test_scalars_and_a_model_without_batch_axis(client):
    got = client.run("scalar", {"x": 3, "text": "word", "matrix": [[1, 2], [3, 4], [5, 6]]})
    assert got["doubled"].tolist() == [6]
    assert got["upper"].tolist() == [b"WORD"]
    assert got["transposed"].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_only_the_outputs_asked_for(client):
    assert list(client.run("scalar", SCALAR, outputs=["upper"])) == ["upper"]
    with pytest.raises(InvalidInput, match="no output 'lower'"):
        client.run("scalar", SCALAR, outputs=["lower"])


def test_an_answer_larger_than_grpcs_usual_4_mb(client):
    sent = np.random.default_rng(0).random((8, 500_000), np.float32)
    np.testing.assert_array_equal(client.run("echo", {"fp32": sent})["fp32_out"], sent)


def test_models_are_listed_and_described(client):
    listed = {row.name: row for row in client.list_models()}
    assert set(listed) >= {"broken", "echo", "failing", "queue", "scalar", "slow"}
    assert (listed["echo"].version, listed["echo"].state) == ("1", "READY")
    info = client.get_model_info("echo")
    assert (info.name, info.versions, info.state) == ("echo", ("1",), "READY")
    assert (info.backend, info.max_batch_size, info.dynamic_batching) == ("python", 8, True)
    assert info.description == "Gives back what it is given."
    inputs = {tensor.name: tensor for tensor in info.inputs}
    assert len(inputs) == 13
    assert str(inputs["string"]) == "string?: BYTES[-1,-1]"
    assert inputs["fp16"].dtype == np.float16
    scalar = client.get_model_info("scalar", version="1")
    assert str(scalar) == (
        "scalar(x: FP32[1], text: BYTES[1], matrix: FP32[-1,2])"
        " -> doubled: FP32[1], upper: BYTES[1], transposed: FP32[2,-1]"
    )
    assert (scalar.max_batch_size, scalar.dynamic_batching, scalar.description) == (0, False, "")


def test_statistics_count(client):
    before = quiet(client, "echo")
    client.run("echo", {"fp32": np.ones((3, 1), np.float32)})
    after = counted(client, "echo", lambda now: now.success.count > before.success.count)
    assert after.inference_count - before.inference_count == 3
    assert after.execution_count - before.execution_count == 1
    assert after.success.count - before.success.count == 1
    assert after.compute_infer.ns > before.compute_infer.ns
    sizes = after.executions_by_batch_size
    assert sizes[3] - before.executions_by_batch_size.get(3, 0) == 1


def test_inputs_are_refused_before_anything_is_sent(client):
    before = quiet(client, "scalar")
    for inputs, words in [
        ({**SCALAR, "extra": 1}, "no input is named 'extra'"),
        ({"x": 1}, "input 'text' is missing"),
        ({**SCALAR, "x": np.ones(1)}, r"\.astype\(np\.float32\)"),
        ({**SCALAR, "x": [1, 2]}, "axis 0 must be 1"),
        ({**SCALAR, "matrix": [1, 2]}, "1 axis instead of 2"),
    ]:
        with pytest.raises(InvalidInput, match=words) as caught:
            client.run("scalar", inputs)
        assert "scalar(x: FP32[1], text: BYTES[1], matrix: FP32[-1,2])" in str(caught.value)
    with pytest.raises(InvalidInput, match="batch of 9"):
        client.run("echo", {"fp32": np.ones((9, 1), np.float32)})
    with pytest.raises(InvalidInput, match="no version"):
        client.run("scalar", SCALAR, version="latest")
    with pytest.raises(InvalidInput, match="no model's name"):
        client.run("", SCALAR)
    with pytest.raises(InvalidInput, match="reserved"):
        client.run("scalar", SCALAR, parameters={"timeout": 1})
    after = client.statistics("scalar")
    assert (after.success, after.fail) == (before.success, before.fail)


def test_what_only_the_server_can_refuse_is_invalid_input_too(client):
    # Optional inputs, none of them given: our check has nothing to say about it.
    with pytest.raises(InvalidInput):
        client.run("echo", {})


def test_a_model_that_is_not_there(client):
    for call in (
        lambda: client.run("minilm", {}),
        lambda: client.get_model_info("minilm"),
        lambda: client.statistics("minilm"),
        lambda: client.unload_model("minilm"),
    ):
        with pytest.raises(ModelNotFound, match="'minilm'"):
            call()
    with pytest.raises(ModelNotFound, match="it has: broken, echo"):
        client.run("minilm", {})
    with pytest.raises(ModelNotFound, match="no version 7 ready; it has 1"):
        client.run("echo", {}, version="7")


def test_a_model_that_does_not_load(client):
    with pytest.raises(ModelLoadFailed, match="weights are missing"):
        client.load_model("broken")
    with pytest.raises(ModelNotReady, match="weights are missing"):
        client.run("broken", {"x": 1})
    with pytest.raises(ModelLoadFailed, match="'minilm'"):
        client.load_model("minilm")
    with pytest.raises(DeadlineExceeded, match=r"'broken'.*UNAVAILABLE"):
        client.wait_until_ready(timeout=0.3, model="broken")
    client.unload_model("broken")


def test_unload_and_load_again(client):
    assert client.is_ready("scalar")
    client.run("scalar", SCALAR)  # its signature is remembered from here on
    client.unload_model("scalar")
    with pytest.raises((ModelNotReady, DeadlineExceeded)):
        while True:  # unloading goes on in the background; a request may still get in
            client.run("scalar", SCALAR)
    assert not client.is_ready("scalar")
    client.load_model("scalar")
    client.wait_until_ready(model="scalar")
    assert client.run("scalar", SCALAR)["doubled"].tolist() == [6]


def test_another_client_unloads_and_loads(client, url):
    client.run("scalar", SCALAR)
    with Client(url) as other:
        other.unload_model("scalar")
        other.load_model("scalar")
    assert client.run("scalar", SCALAR)["upper"].tolist() == [b"WORD"]


def test_a_model_that_fails(client):
    with pytest.raises(InferenceFailed, match="does not like this number"):
        client.run("failing", {"x": 1})


def test_deadlines(client, url):
    with pytest.raises(DeadlineExceeded, match="'slow'"):
        client.run("slow", {"seconds": 1}, deadline=0.2)
    assert client.run("slow", {"seconds": 0}, deadline=20)["slept"].tolist() == [0]
    with Client(url, deadline=0.2) as hasty, pytest.raises(DeadlineExceeded):
        hasty.run("slow", {"seconds": 1})
    with pytest.raises(DeadlineExceeded):
        client.run("echo", {"fp32": [[1]]}, deadline=0)


def test_a_full_queue_is_not_a_lost_server(client):
    def ask(_):
        try:
            client.run("queue", {"seconds": [[0.5]]})
        except ModelNotReady as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        refused = [answer for answer in pool.map(ask, range(8)) if answer]
    assert refused
    assert "queue" in refused[0]


@pytest.mark.parametrize("connections", ["kept", "new"])
def test_sixteen_threads_share_one_client(client, url, connections):
    start = threading.Barrier(16)

    def work(number: int) -> bool:
        own = client if connections == "kept" else Client(url)
        start.wait()
        for turn in range(25):
            sent = np.full((1 + turn % 4, 1 + number), number * 100 + turn, np.int64)
            back = own.run("echo", {"int64": sent, "string": sent.astype(str)})
            if not np.array_equal(back["int64_out"], sent):
                return False
            if back["string_out"].flat[0] != str(number * 100 + turn).encode():
                return False
        if own is not client:
            own.close()
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def test_readiness(client, dead_url):
    assert client.is_ready()
    assert client.is_ready("echo")
    assert not client.is_ready("minilm")
    client.wait_until_ready(model="echo")
    with Client(dead_url) as lonely:
        assert not lonely.is_ready()
        assert not lonely.is_ready("echo")


def test_the_service(client, dead_url):
    assert client.is_healthy()
    client.wait_for_server(timeout=30)
    info = client.get_service_info()
    assert (info.name, info.version.count(".")) == ("triton", 2)
    assert {"model_repository", "statistics"} <= set(info.extensions)
    with Client(dead_url) as lonely:
        assert not lonely.is_healthy()
        with pytest.raises(DeadlineExceeded, match=r"waited 0\.3 s for the server: no connection"):
            lonely.wait_for_server(timeout=0.3)
        with pytest.raises(ServerUnavailable, match="is the server running"):
            lonely.get_service_info()


def test_a_server_may_be_healthy_and_not_ready(tmp_path):
    from nosbuild import serve

    shutil.copytree(Path(__file__).parent / "models" / "broken", tmp_path / "models" / "broken")
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(tmp_path / "models", models=[], announce=False, **ports) as service:
        for url in (service.grpc_url, service.http_url):
            with Client(url, deadline=30) as client:
                with pytest.raises(ModelLoadFailed):
                    client.load_model("broken")
                client.wait_for_server(timeout=30)
                assert client.is_healthy()
                assert not client.is_ready()


def test_nobody_there(dead_url):
    with Client(dead_url) as client:
        for call in (client.list_models, lambda: client.run("echo", {"fp32": [[1]]})):
            with pytest.raises(ServerUnavailable, match="is the server running") as caught:
                call()
            assert dead_url in str(caught.value)
        with pytest.raises(DeadlineExceeded, match="no connection to"):
            client.wait_until_ready(timeout=0.3)


def test_the_port_of_the_other_protocol(service):
    wrong = {f"grpc://{service.http_url.removeprefix('http://')}": service.http_url}
    wrong[f"http://{service.grpc_url}"] = f"grpc://{service.grpc_url}"
    for url, write in wrong.items():
        with Client(url, deadline=30) as lost, pytest.raises(ServerUnavailable) as caught:
            lost.list_models()
        assert f"write {write}" in str(caught.value)


def test_versions(client):
    for version in (1, "1"):
        assert client.run("scalar", SCALAR, version=version)["doubled"].tolist() == [6]
    with pytest.raises(ModelNotFound, match="no version 9 ready; it has 1"):
        client.run("scalar", SCALAR, version=9)
    for version in (True, -1, "one", 1.0):
        with pytest.raises(InvalidInput, match="is no version"):
            client.statistics("scalar", version=version)
