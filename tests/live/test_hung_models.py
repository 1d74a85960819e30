"""Models that do not answer, in a real Triton: a deadline ends their worker, and says where."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import tiny_models
from onnx import TensorProto, helper

import nosclient
from nosbuild.runtime import serve
from nosbuild.steps import build
from python_versions import model, strings

SECONDS = 1.0
DEADLINE = (
    f'parameters {{ key: "max_execution_seconds" value {{ string_value: "{SECONDS:g}" }} }}\n'
)
LEGS = 'parameters { key: "stream_legs" value { string_value: "1" } }\n'
TWO = "instance_group { count: 2 kind: KIND_CPU }\n"

HANGS = """
import asyncio
import ctypes
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import numpy as np


def hang(how: str) -> None:
    if how == "loops":
        while True:
            pass
    if how == "waits":
        threading.Event().wait()
    if how == "holds":
        ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock
    if how == "late":
        time.sleep(0.5)


class Hangs:
    def __call__(self, how: str) -> str:
        hang(how)
        return how.upper()

    async def later(self, how: str) -> str:
        if how == "awaits":
            await self.never()
        return how.upper()

    async def never(self):
        await asyncio.Event().wait()

    def stream(self, how: str) -> Iterator[str]:
        for number in range(1000 if how == "endless" else 5):
            yield str(number)
            if number == 1:
                hang(how)
            time.sleep(0.4)  # five of them are more than the deadline

    def blocks(self, n: int) -> Iterator[Annotated[np.ndarray, "uint8[size]"]]:
        for _ in range(n):
            yield np.zeros(65536, np.uint8)

    async def stream_later(self, how: str) -> AsyncIterator[str]:
        for number in range(1000 if how == "endless" else 5):
            yield str(number)
            if number == 1 and how == "awaits":
                await self.never()
            await asyncio.sleep(0.4)
"""


CALLS = """
import time


class Calls:
    def __init__(self, models):
        self.models = models

    def __call__(self, how: str) -> str:
        return self.models.slow(how=[[how]])["output"].item().decode()


class Slow:
    def __call__(self, how: str) -> str:
        time.sleep(2.5 if how == "slow" else 0)
        return how.upper()
"""


def onnx_loop(folder):
    """Y = x + n in n steps, however many; on Triton's ``onnxruntime``."""
    floats, counts = TensorProto.FLOAT, TensorProto.INT64
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    one = helper.make_tensor("one", floats, [], [1.0])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["v", "one"], ["w"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("i", counts, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", floats, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", floats, [1]),
        ],
    )
    tiny_models.onnx_model(
        folder,
        [helper.make_node("Loop", ["n", "true", "x"], ["y"], body=body)],
        [("n", counts, [1]), ("x", floats, [1])],
        [("y", floats, [1])],
        [true, one],
    )
    inputs = [("n", counts, [1]), ("x", floats, [1])]
    tiny_models.config(folder, inputs, [("y", floats, [1])], more=DEADLINE)


SAMPLES = """
def samples():
    for how in ("a", "b"):
        yield {"how": how}
"""
YAML = """
name: built
source: {python: "model.py:Hangs"}
samples: "samples.py:samples"
max_execution_seconds: 1.5
"""


def built(folder):
    folder.mkdir()
    for name, text in (("model.py", HANGS), ("samples.py", SAMPLES), ("model.yaml", YAML)):
        (folder / name).write_text(text)
    build(folder)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    for name, method, more in (
        ("hangs", "__call__", DEADLINE),
        ("two", "__call__", DEADLINE + TWO),
        ("later", "later", DEADLINE),
        ("stream", "stream", DEADLINE),
        ("stream_later", "stream_later", DEADLINE),
        ("unwatched", "__call__", ""),
        ("killed", "__call__", ""),
        ("blocks", "blocks", LEGS),
    ):
        model(repository, name, HANGS, more, reference="model.py:Hangs", method=method)
    model(repository, "slow", CALLS, reference="model.py:Slow")
    model(repository, "calls", CALLS, DEADLINE, reference="model.py:Calls", models={"slow": {}})
    onnx_loop(repository / "loop")
    built(repository / "built")
    with serve(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(service):
    with nosclient.Client(f"grpc://{service.grpc_url}", deadline=120) as client:
        yield client


@pytest.fixture
def said(service):
    """What the log says since the test began, once it says so much of it."""
    start = len(service.log_file.read_text(errors="replace"))

    def wait_for(*words):
        patience = time.monotonic() + 60
        while True:
            text = service.log_file.read_text(errors="replace")[start:]
            if all(word in text for word in words) or time.monotonic() > patience:
                return text
            time.sleep(0.05)

    return wait_for


def workers(service, model):
    found = []
    for process in psutil.Process(service.pid).children(recursive=True):
        try:
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if is_alive and any(word.startswith(f"{model}_0_") for word in process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def words(how):
    return {"how": strings(how).reshape(1, 1)}


def brought_back(service, client, model):
    service.load_model(model)
    assert client.run(model, words("fine"))["output"].item() == b"FINE"


@pytest.mark.parametrize("how", ["loops", "waits", "holds"])
def test_a_hung_worker_says_where_and_ends(service, client, said, how):
    others = threading.Event()
    answers = []

    def ask_others():
        while not others.wait(0.05):
            answers.append(client.run("unwatched", words("fine"))["output"].item())

    asking = threading.Thread(target=ask_others)
    asking.start()
    try:
        with pytest.raises(nosclient.WorkerEnded, match="worker process of 'hangs' has ended"):
            client.run("hangs", words(how))
    finally:
        others.set()
        asking.join()
    assert set(answers) == {b"FINE"}
    assert workers(service, "hangs") == []
    log = said("nosbuild: model 'hangs': no answer within 1 s", "in hang")
    assert "nosbuild: model 'hangs': no answer within 1 s (max_execution_seconds)" in log
    assert "/hangs/1/source/model.py" in log
    assert "in hang" in log
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'hangs' has ended"):
        client.run("hangs", words("fine"))
    brought_back(service, client, "hangs")


def test_as_the_model_yaml_says(client, said):
    assert client.run("built", words("late"))["output"].item() == b"LATE"
    with pytest.raises(nosclient.WorkerEnded):
        client.run("built", words("waits"))
    assert "in hang" in said("model 'built': no answer within 1.5 s", "in hang")


def test_what_answers_in_time_is_left_alone(service, client):
    before = workers(service, "hangs")
    began = time.monotonic()
    while time.monotonic() - began < 3 * SECONDS:
        assert client.run("hangs", words("late"))["output"].item() == b"LATE"
    for _ in range(20):
        assert client.run("hangs", words("fine"))["output"].item() == b"FINE"
    assert workers(service, "hangs") == before


def test_the_other_instance_goes_on(service, client):
    assert len(workers(service, "two")) == 2
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'two' has ended"):
        client.run("two", words("waits"))
    assert len(workers(service, "two")) == 1
    answers = []
    for _ in range(4):
        try:
            answers.append(client.run("two", words("fine"))["output"].item())
        except nosclient.WorkerEnded:
            continue
    assert set(answers) == {b"FINE"}


def test_what_a_coroutine_waits_for_is_said(service, client, said):
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'later' has ended"):
        client.run("later", words("awaits"))
    assert "in never" in said("model 'later': no answer", "in never")
    brought_back(service, client, "later")


def test_a_model_that_is_called_counts_and_lives_on(service, client, said):
    called = workers(service, "slow")
    assert client.run("calls", words("fine"))["output"].item() == b"FINE"
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'calls' has ended"):
        client.run("calls", words("slow"))
    assert "self.models.slow(" in said("model 'calls': no answer", "self.models.slow(")
    # What it was asked comes to nobody.
    assert client.run("slow", words("fine"))["output"].item() == b"FINE"
    assert workers(service, "slow") == called
    brought_back(service, client, "calls")


@pytest.mark.parametrize(("name", "how"), [("stream", "waits"), ("stream_later", "awaits")])
def test_a_stream_may_last_but_not_stand_still(service, client, said, name, how):
    chunks = list(client.stream(name, {"how": strings("fine")}))
    assert [chunk["output"].item() for chunk in chunks] == [b"0", b"1", b"2", b"3", b"4"]

    def read(one):
        chunks = client.stream(name, {"how": strings(one)})
        next(chunks)
        with pytest.raises(nosclient.WorkerEnded, match=f"{name}.*no answer within 1 s"):
            for _ in range(1000):
                next(chunks)

    # All that its worker was at fails with the one that hangs.
    with ThreadPoolExecutor(4) as pool:
        for reading in [pool.submit(read, one) for one in (how, "endless", "endless", how)]:
            reading.result(60)
    assert f"in {'hang' if how == 'waits' else 'never'}" in said(
        f"model '{name}': no answer", " in "
    )
    assert workers(service, name) == []
    client.unload_model(name)
    client.load_model(name)
    assert len(list(client.stream(name, {"how": strings("fine")}))) == 5


def test_an_onnx_model(service, client, said):
    few, many = ({"n": np.array([n]), "x": np.ones(1, np.float32)} for n in (3, 1 << 60))
    assert client.run("loop", few)["y"].tolist() == [4.0]
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'loop' has ended"):
        client.run("loop", many)
    assert "in run_arrays" in said("model 'loop': no answer", "in run_arrays")
    service.load_model("loop")
    assert client.run("loop", few)["y"].tolist() == [4.0]


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_requests_of_a_worker_that_is_killed_fail_with_its_name(service, kind):
    """What it worked on, what waited, and what comes later: Triton tells no difference."""
    url = f"grpc://{service.grpc_url}" if kind == "grpc" else service.http_url
    with nosclient.Client(url, deadline=120) as client, ThreadPoolExecutor(3) as pool:
        client.run("killed", words("fine"))
        asked = [pool.submit(client.run, "killed", words("waits")) for _ in range(3)]
        time.sleep(0.5)
        (worker,) = workers(service, "killed")
        os.kill(worker, signal.SIGKILL)
        told = [one.exception(60) for one in asked]
        with pytest.raises(nosclient.WorkerEnded) as later:
            client.run("killed", words("fine"))
        for error in (*told, later.value):
            assert isinstance(error, nosclient.WorkerEnded)
            assert "model 'killed' failed: Stub process 'killed_0_0' is not healthy" in str(error)
            assert "unload_model('killed') and then load_model('killed')" in str(error)
        brought_back(service, client, "killed")


def _rests(pid, seconds=3.0):
    """Waits until the process has used no processor for so long."""
    used, since = None, time.monotonic()
    while time.monotonic() - since < seconds:
        now = sum(psutil.Process(pid).cpu_times())
        if now != used:
            used, since = now, time.monotonic()
        time.sleep(0.05)


def test_a_long_stream_of_a_worker_that_is_killed_ends(service, client):
    chunks = client.stream("blocks", {"n": np.array([10000])})
    next(chunks)
    (worker,) = workers(service, "blocks")
    # Until its first leg is over: one that is under way ends with the client's deadline only.
    _rests(worker)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(nosclient.WorkerEnded, match="worker process of 'blocks' has ended"):
        for _ in chunks:
            pass
