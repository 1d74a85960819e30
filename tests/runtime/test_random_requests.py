"""Random inputs for a running model: of the shapes that the server takes."""

import json

import numpy as np
import pytest

from nosbuild.runtime.request_inputs import as_sent, inputs_from_file, random_inputs_for
from nosclient import ModelInfo, TensorInfo

SPEC = """
name: m
source: {onnx: model.onnx}
inputs: {mel: "float32[batch, time, 4]", gain: {tensor: "float32[batch]", range: [2, 3]}}
outputs: {y: "float32[batch]"}
dims: {batch: 1..2..4, time: 2..6..9}
"""


def info():
    rows = (TensorInfo("mel", "FP32", (-1, -1, 4)), TensorInfo("gain", "FP32", (-1, 1)))
    return ModelInfo("m", ("1",), "", "onnxruntime", rows, (), 4, True, "", state="READY")


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.onnx").touch()
    (tmp_path / "m/model.yaml").write_text(SPEC)
    return tmp_path


def test_one_number_an_item_has_an_axis_of_one(repository):
    """Triton knows no tensors without axes: float32[batch] is [batch, 1] on the wire."""
    found = random_inputs_for(info(), repository, 3)
    assert found["gain"].shape == (3, 1)
    assert ((found["gain"] >= 2) & (found["gain"] <= 3)).all()  # the spec's range is kept
    assert found["mel"].shape == (3, 6, 4)
    assert found["mel"].dtype == np.float32


def test_without_a_spec_the_server_tells_the_shapes(tmp_path):
    found = random_inputs_for(info(), tmp_path, 2)
    assert found["gain"].shape == (2, 1)
    assert found["mel"].shape == (2, 8, 4)


def texts(shape, max_batch_size):
    rows = (TensorInfo("text", "BYTES", shape),)
    return ModelInfo("m", ("1",), "", "python", rows, (), max_batch_size, False, "", state="READY")


def test_random_text_is_not_empty(tmp_path):
    found = random_inputs_for(texts((-1, 1), 64), tmp_path, 64)["text"]
    assert found.shape == (64, 1)
    assert all(found.flat)


@pytest.mark.parametrize(
    ("shape", "content", "sent"),
    [
        ((-1, 1), {"text": ["a", "b"]}, [["a"], ["b"]]),
        ((-1, 1), [{"text": "a"}, {"text": "b"}], [["a"], ["b"]]),
        ((-1, -1), ["a", "b"], [["a", "b"]]),
        ((-1, -1), [{"text": ["a"]}, {"text": ["b"]}], [["a"], ["b"]]),
    ],
)
def test_the_shape_that_is_sent_is_the_one_that_is_told(tmp_path, shape, content, sent):
    (tmp_path / "x.json").write_text(json.dumps(content))
    info = texts(shape, 8)
    assert as_sent(inputs_from_file(tmp_path / "x.json", info), info)["text"].tolist() == sent
