"""The server environment: its Python, its packages, what may leak into it and what may not."""

import os
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from nosbuild.environments.interpreters import SUPPORTED, find_interpreter
from nosbuild.environments.packages import install
from nosbuild.errors import HostError
from nosbuild.runtime import server_environment


@pytest.fixture(scope="module")
def environment():
    return server_environment(print)


def test_the_interpreter_has_a_shared_library_and_a_supported_version():
    found = find_interpreter()
    assert found.minor in SUPPORTED
    assert found.library.name == "libpython{}.{}.so.1.0".format(*found.minor)
    assert found.library.is_file()


def test_no_interpreter_is_an_error_that_lists_what_was_tried(monkeypatch, tmp_path):
    # A Python that cannot host the stub, and nothing else on this machine.
    fake = tmp_path / "python3.13"
    facts = '{"executable": "x", "version": [3, 13, 0], "folders": ["/nowhere"]}'
    fake.write_text(f"#!/bin/sh\necho '{facts}'\n")
    fake.chmod(0o755)
    monkeypatch.setattr("nosbuild.environments.interpreters._places", lambda: iter([fake]))
    with pytest.raises(HostError, match=r"python3\.13: is 3\.13; numpy 1\.26") as caught:
        find_interpreter()
    assert "apt install" in caught.value.remedy


def test_its_python_has_numpy_1_whatever_the_user_has(environment, monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("__version__ = '9.9'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    seen = subprocess.run(
        [environment.python, "-c", "import numpy, onnxruntime; print(numpy.__version__)"],
        env=environment.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "1.26.4"


def test_the_server_runs(environment):
    shown = subprocess.run(
        [environment.tritonserver, "--help"],
        env=environment.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--model-repository" in shown.stdout + shown.stderr


def test_the_backend_folder_has_the_layout_that_triton_searches(environment):
    assert (environment.backends / "python/libtriton_python.so").is_file()
    assert os.access(environment.backends / "python/triton_python_backend_stub", os.X_OK)
    assert (environment.backends / "onnxruntime/model.py").is_file()


def test_the_second_time_nothing_is_made(environment):
    said = []
    assert server_environment(said.append) == environment
    assert said == []


def test_its_onnx_runtime_tells_its_makers_nothing(environment, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    home = tmp_path / "home"
    home.mkdir()
    variables = environment.variables()
    variables.pop("XDG_CACHE_HOME", None)
    subprocess.run(
        [
            environment.python,
            "-c",
            "import onnxruntime as ort; ort.InferenceSession('model.onnx')",
        ],
        check=True,
        cwd=tmp_path,
        env={**variables, "HOME": str(home)},
    )
    assert not list(home.rglob("*"))


def test_the_licences_come_along(environment):
    assert list((environment.folder / "triton").glob("nvidia_pytriton-*.dist-info/licenses/*"))


def test_a_package_that_cannot_be_installed_is_reported_with_pips_words(tmp_path):
    package = tmp_path / "no_such_package-1.0-py3-none-any.whl"
    with pytest.raises(HostError, match="pip could not install") as caught:
        install([str(package)], "--target", str(tmp_path / "there"))
    assert "no_such_package" in caught.value.message.splitlines()[-1]
    assert not (tmp_path / "there").exists()


def test_importing_the_room_imports_nothing_heavy():
    code = "import sys, nosbuild.runtime; print(*sys.modules)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "tritonclient", "onnx", "onnxruntime", "torch", "psutil", "filelock"}
    assert not heavy & set(seen.stdout.split())
