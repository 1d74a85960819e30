"""Engines for the tests of containers: one of processes, and podman's where it is installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="pip install 'nosbuild[docker]'")

from mini_engine import MiniEngine

from nosbuild.runtime.docker.images import default_image
from nosbuild.store.folders import cache_folder

ADD_ONE = """
backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
{more}
"""


def write_add_one(
    folder: Path, *, opset: int = 17, ir_version: int = 8, instances: int = 1, more: str = ""
) -> Path:
    """A model that adds one, made by hand."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        folder.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(__import__("numpy").float32([1]), "one")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1/model.onnx")
    (folder / "config.pbtxt").write_text(ADD_ONE.format(instances=instances, more=more))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def repository(tmp_path):
    """Two models that any user may read."""
    folder = tmp_path / "models"
    for name in ("adds", "also"):
        write_add_one(folder / name)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def inner_cache(tmp_path_factory):
    """The cache of what runs in "containers": apart from ours, but for the server itself."""
    folder = tmp_path_factory.mktemp("inner")
    for name in ("server", "backends"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(cache_folder() / name)
    return folder


@pytest.fixture
def engine(tmp_path_factory, monkeypatch, inner_cache):
    """An engine of processes, at which DOCKER_HOST points, with our image for the CPU."""
    folder = tmp_path_factory.mktemp("engine")
    monkeypatch.setenv("MINI_ENGINE_CACHE", str(inner_cache))
    with MiniEngine(folder / "engine.sock", folder) as running:
        running.add_image(default_image(gpu=False))
        monkeypatch.setenv("DOCKER_HOST", running.url)
        yield running


@pytest.fixture
def nosbuild(command_line, tmp_path):
    """Runs ``nosbuild ARGUMENTS``."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return command_line.run(*arguments, cwd=tmp_path, env=os.environ)

    return run
