"""A Triton that is installed, as in NVIDIA's containers: laid out like theirs, from our wheel's."""

import os
import shutil

import numpy as np
import pytest
import tiny_models

import nosclient
from nosbuild.errors import HostError
from nosbuild.runtime import serve
from nosbuild.runtime.environment import server_environment
from nosbuild.runtime.installed_server import TRITON_VARIABLE, InstalledServer, installed_server


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As /opt/tritonserver is laid out; its ONNX Runtime backend is one that says who it is."""
    own = server_environment(print)
    folder = tmp_path / "tritonserver"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tritonserver").symlink_to(own.tritonserver)
    (folder / "caches").symlink_to(own.caches)
    shutil.copytree(own.backends / "python", folder / "backends/python")
    theirs = folder / "backends/onnxruntime"
    shutil.copytree(own.backends / "onnxruntime", theirs)
    with (theirs / "model.py").open("a") as file:
        file.write('\nprint("the container\'s own ONNX Runtime backend", flush=True)\n')
    # What an image of NVIDIA's sets: its libraries, and its Python first on PATH.
    variables = own.variables()
    for name in ("PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, variables[name])
    monkeypatch.setenv(TRITON_VARIABLE, str(folder))
    return folder


def test_it_serves_with_its_own_backends_and_none_of_ours(installed, tmp_path):
    tiny_models.add_one(tmp_path / "models")
    before = sorted(path for path in installed.rglob("*"))
    with serve(
        tmp_path / "models", http_port=0, grpc_port=0, metrics_port=0, log_file=tmp_path / "log"
    ) as service:
        assert isinstance(service.environment, InstalledServer)
        with nosclient.Client(service.grpc_url) as client:
            answer = client.run("add_one", {"x": np.zeros((2, 4), np.float32)})
        np.testing.assert_array_equal(answer["y"], np.ones((2, 4), np.float32))
    log = (tmp_path / "log").read_text()
    assert "the container's own ONNX Runtime backend" in log
    assert sorted(path for path in installed.rglob("*")) == before


def test_workers_of_another_python_are_refused(installed):
    server = installed_server()
    other = (3, 10) if server.interpreter.minor != (3, 10) else (3, 12)
    assert server.stub(server.interpreter.minor).is_file()
    with pytest.raises(HostError, match=r"starts workers of Python .* only") as raised:
        server.stub(other)
    assert "python:" in raised.value.remedy


def test_a_folder_without_a_triton_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(TRITON_VARIABLE, str(tmp_path))
    with pytest.raises(HostError, match=r"there is no .*bin/tritonserver"):
        installed_server()


def test_a_machine_without_python_is_told_so(installed, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(HostError, match="needs a Python: python3 is not on PATH"):
        installed_server()
