"""Tensors through memory of a GPU: on one where there is one, else as far as that can be seen."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nosclient import Client, InvalidInput, ServerError
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
