"""What the tests of several rooms share: a model folder written from strings, and its export."""

from __future__ import annotations

import shutil
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from command_line import CommandLine
from nosbuild.export.run import export_onnx
from nosbuild.source.load import load_source
from nosbuild.source.random_inputs import random_inputs
from nosbuild.spec import ModelSpec, load_spec

# A shell starts a job in the background with SIGINT ignored, and so is what it starts: tests
# of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Images and containers cost minutes, root and a package index: only where asked for."""
    if "images" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("images"):
            item.add_marker(pytest.mark.skip(reason="make images-check builds and runs images"))


MakeModel = Callable[..., ModelSpec]

TORCH = "import torch\nfrom torch import nn\n\n"


def write_model(folder: Path, yaml: str, **files: str) -> ModelSpec:
    """Writes model.yaml and ``<key>.py`` for every other argument; loads the spec."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    (folder / "model.yaml").write_text(f"name: {folder.name}\n{textwrap.dedent(yaml)}")
    return load_spec(folder)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """``make_model(yaml, model=code, samples=code, name="m")`` -> ModelSpec."""

    def make(yaml: str, name: str = "m", **files: str) -> ModelSpec:
        return write_model(tmp_path / name, yaml, **files)

    return make


@pytest.fixture
def torch_model(make_model: MakeModel) -> MakeModel:
    """``torch_model(module_body, inputs, outputs, more)``: ``class Net(nn.Module)`` as a source."""

    def make(
        body: str,
        inputs: str = "{x: 'float32[batch, 3]'}",
        outputs: str = "{y: 'float32[batch, 3]'}",
        more: str = "",
        name: str = "m",
        **files: str,
    ) -> ModelSpec:
        code = TORCH + "class Net(nn.Module):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        yaml = (
            f"source: {{torch: 'model.py:Net'}}\ninputs: {inputs}\noutputs: {outputs}\n"
            + textwrap.dedent(more)
        )
        return make_model(yaml, name=name, model=code, **files)

    return make


@dataclass
class Exported:
    """An export, its source, and both run on the same inputs."""

    result: dict[str, Any]
    session: onnxruntime.InferenceSession
    spec: ModelSpec

    @property
    def inputs(self) -> dict[str, list[Any]]:
        return {value.name: value.shape for value in self.session.get_inputs()}

    @property
    def outputs(self) -> dict[str, list[Any]]:
        return {value.name: value.shape for value in self.session.get_outputs()}

    def run(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self.session.run(None, arrays), strict=True))

    def agrees_at(self, **sizes: int) -> dict[str, np.ndarray]:
        """Runs both at those sizes; asserts that every output is the same; returns them."""
        source, _ = load_source(self.spec)
        arrays = random_inputs(source.inputs, sizes, seed=7)
        expected, found = source.run(arrays), self.run(**arrays)
        assert list(found) == [tensor.name for tensor in source.outputs]
        for name, array in expected.items():
            assert found[name].shape == array.shape, name
            assert found[name].dtype == array.dtype, name
            if array.dtype.kind == "f":
                np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], array, err_msg=name)
        return found


@pytest.fixture
def export(tmp_path: Path) -> Callable[[ModelSpec], Exported]:
    def run(spec: ModelSpec) -> Exported:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        result = export_onnx(spec, out)
        session = onnxruntime.InferenceSession(
            str(out / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        return Exported(result, session, spec)

    return run


@pytest.fixture(scope="session")
def command_line() -> Iterator[CommandLine]:
    with CommandLine() as made:
        yield made


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB to fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
