"""Tensors through memory of a GPU: on one where there is one, else as far as that can be seen."""

from __future__ import annotations

import ast
import asyncio
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.grpc
from gpu_tensors import ByDLPack, ByInterface

from nosbuild import serve
from nosclient import AsyncClient, Client, DeadlineExceeded, InvalidInput, ServerError
from nosclient._cuda_arrays import on_gpu, read_capsule
from nosclient._cuda_driver import missing

STAND_IN = Path(__file__).parent / "cuda_stand_in"
CHECKS = [
    node.name
    for node in ast.parse((STAND_IN / "checks.py").read_text()).body
    if isinstance(node, ast.FunctionDef) and [a.arg for a in node.args.args] == ["url"]
]
X = np.random.default_rng(0).random(1 << 19, np.float32)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory):
    """A folder with a libcuda.so.1 that needs no GPU."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of CUDA's driver")
    folder = tmp_path_factory.mktemp("cuda")
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", STAND_IN / "libcuda.c"]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("check", CHECKS)
def test_on_a_stand_in(check, stand_in, url):
    environment = {**os.environ, "LD_LIBRARY_PATH": str(stand_in)}
    if check == "no_device":
        environment["NO_DEVICE"] = "1"
    folders = [str(STAND_IN.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    command = [sys.executable, STAND_IN / "checks.py", check, url]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_dlpack_tells():
    x = torch.arange(24, dtype=torch.float16).reshape(2, 3, 4)
    layout = read_capsule(x[1:].__dlpack__())
    assert layout.device == (1, 0)
    assert layout.address == x[1:].data_ptr()
    assert (layout.dtype, layout.shape) == (np.float16, (1, 3, 4))
    assert layout.is_contiguous
    assert not read_capsule(x[:, 1:].__dlpack__()).is_contiguous
    assert not read_capsule(x.mT.__dlpack__()).is_contiguous
    assert read_capsule(x.unsqueeze(1).__dlpack__()).is_contiguous
    for dtype in (np.bool_, np.uint8, np.int64, np.float64):
        assert read_capsule(np.ones(3, dtype).__dlpack__()).dtype == dtype
    with pytest.raises(ValueError, match="none of numpy's"):
        read_capsule(torch.ones(2, dtype=torch.bfloat16).__dlpack__())
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        read_capsule(object())


def test_what_lies_on_the_host_is_left_alone():
    for value in (X, torch.from_numpy(X), [1.0], "text", None):
        assert on_gpu(value) is None


def test_several_servers(service):
    urls = [service.grpc_url, service.grpc_url.replace("127.0.0.1", "localhost")]
    with pytest.raises(InvalidInput, match="for one server"):
        Client(urls, shared_memory="cuda")


@pytest.mark.skipif(not missing(), reason="there is a CUDA device")
def test_without_a_device(url):
    with Client(url, deadline=30, shared_memory="cuda") as client:
        assert client.run("echo", {"fp32": [[1.0]]})["fp32_out"].item() == 1.0  # small: the wire
        for _ in range(2):
            with pytest.raises(ServerError, match="CUDA shared memory: no CUDA driver: "):
                client.run("late", {"x": X, "seconds": [0.0]})
        assert client.transport.kind == "wire"
        assert "no CUDA driver" in client.transport.reason
    with Client(url, deadline=30, shared_memory="auto") as client:
        client.run("late", {"x": X, "seconds": [0.0]})
        assert str(client.transport) == "system shared memory (tensors of 64 KiB and more)"


on_a_gpu = pytest.mark.skipif(bool(missing()), reason="no CUDA device")


@pytest.fixture
def regions(service):
    """Names of the regions of GPUs that the server maps since the test began."""
    with tritonclient.grpc.InferenceServerClient(service.grpc_url) as asked:

        def found():
            status = asked.get_cuda_shared_memory_status(as_json=True)
            return set(status.get("regions", {}))

        before = found()
        yield lambda: found() - before


def late(client, x, seconds=0.0, **more):
    return client.run("late", {"x": x, "seconds": [seconds]}, **more)["y"]


@on_a_gpu
def test_all_through_a_gpu(url, regions):
    with Client(url, deadline=30, shared_memory="cuda") as client:
        kept = [late(client, X + number) for number in range(10)]
        assert str(client.transport) == "CUDA shared memory (tensors of 64 KiB and more)"
        assert len(regions()) == 2
        for number, y in enumerate(kept):
            np.testing.assert_array_equal(y, 2 * (X + number))
        x = X.reshape(2, -1)
        for _ in range(2):  # the size of this output is known from the second time on
            np.testing.assert_array_equal(client.run("echo", {"fp32": x})["fp32_out"], x)
    assert not regions()


@on_a_gpu
@pytest.mark.parametrize("kind", [ByDLPack, ByInterface])
def test_what_lies_on_a_gpu_stays_there(kind, url, regions):
    x = kind(X)
    with Client(url, deadline=30, shared_memory="auto") as client:
        for _ in range(5):
            np.testing.assert_array_equal(late(client, x), 2 * X)
            np.testing.assert_array_equal(late(client, X), 2 * X)
        assert x.copies == 0
        assert client.transport.kind == "cuda"
        assert client.stats().traffic["cuda"].sent == 5 * X.nbytes
        assert len(regions()) == 1
    assert not regions()
    x.free()


@on_a_gpu
def test_what_a_server_may_still_read_on_a_gpu(url, regions):
    with Client(url, deadline=30, shared_memory="cuda") as client:
        late(client, X)
        first = regions()
        with pytest.raises(DeadlineExceeded):
            late(client, X, 1.0, deadline=0.3)
        np.testing.assert_array_equal(late(client, X + 1), 2 * (X + 1))
        assert regions() > first


@on_a_gpu
def test_many_threads_and_one_gpu(url, regions):
    def work(number):
        return all(np.array_equal(late(client, X + number), 2 * (X + number)) for _ in range(20))

    with Client(url, deadline=60, shared_memory="cuda") as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8
        assert len(regions()) <= 16


@on_a_gpu
def test_asyncio_and_a_gpu(url):
    async def use():
        async with AsyncClient(url, deadline=30, shared_memory="cuda") as client:
            sent = [client.run("late", {"x": X + n, "seconds": [0.0]}) for n in range(8)]
            for number, answer in enumerate(await asyncio.gather(*sent)):
                np.testing.assert_array_equal(answer["y"], 2 * (X + number))
            return client.transport.kind

    assert asyncio.run(use()) == "cuda"


KILLED = """
import sys, numpy as np
from nosclient import Client
client = Client(sys.argv[1], shared_memory="cuda")
client.run("late", {"x": np.ones(1 << 19, np.float32), "seconds": [0.0]})
print("done", flush=True)
sys.stdin.read()
"""


@on_a_gpu
def test_a_client_on_a_gpu_that_was_killed(url, regions):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", KILLED, url], **pipes) as process:
        assert process.stdout.readline() == b"done\n"
        left = regions()
        assert len(left) == 2
        process.send_signal(signal.SIGKILL)
    with Client(url, deadline=30, shared_memory="cuda") as client:
        np.testing.assert_array_equal(late(client, X), 2 * X)
        assert not left & regions()


@on_a_gpu
def test_a_server_with_a_gpu_that_was_started_again():
    options = {"http_port": 0, "metrics_port": 0, "models": ["late"], "announce": False}
    models = Path(__file__).parent / "models"
    with serve(models, grpc_port=0, **options) as first:
        port = int(first.grpc_url.rpartition(":")[2])
        client = Client(first.grpc_url, deadline=30, shared_memory="cuda")
        late(client, X)
    with serve(models, grpc_port=port, **options), client:
        for number in range(2):
            np.testing.assert_array_equal(late(client, X + number), 2 * (X + number))
        assert client.transport.kind == "cuda"
