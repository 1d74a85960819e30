"""Simplified graphs: the same function, the same face, standard ONNX, the same bytes each time."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from attention_models import export_bert, face, feeds, op_types, run, write, write_older_bert
from onnx import TensorProto, helper

from nosbuild.export import saving
from nosbuild.optimize.slim import slim

BERT_INPUTS = {"ids": ("ids", 50), "mask": ("mask",)}
OLDER_INPUTS = {"x": ("floats", 16), "mask": ("mask",)}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert") / "model.onnx"
    export_bert(path)
    return path


def test_an_exported_bert_gets_plain_attentions_and_answers_the_same(bert, tmp_path):
    made = slim(bert, tmp_path)
    assert made.details["changed"] and made.details["attentions"] == 2
    assert made.details["nodes_after"] == len(op_types(tmp_path / "model.onnx"))
    assert f"{made.details['nodes_before']} → {made.details['nodes_after']} nodes" in made.how
    assert face(tmp_path / "model.onnx") == face(bert)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {row.domain: row.version for row in model.opset_import} == {"": 20}
    assert model.ir_version <= 10
    assert "IsNaN" in op_types(bert) and "IsNaN" not in op_types(tmp_path / "model.onnx")
    for feed in feeds(BERT_INPUTS):
        wanted, got = run(bert, feed), run(tmp_path / "model.onnx", feed)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_queries_that_see_no_key_still_give_nothing(tmp_path):
    write_older_bert(tmp_path / "export.onnx", guarded=True)
    assert slim(tmp_path / "export.onnx", tmp_path).details["attentions"] == 1
    assert "IsNaN" not in op_types(tmp_path / "model.onnx")
    for feed in feeds(OLDER_INPUTS):
        wanted, got = run(tmp_path / "export.onnx", feed), run(tmp_path / "model.onnx", feed)
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    feed["mask"][:] = 0
    assert not run(tmp_path / "model.onnx", feed).any() and got.any()


def test_the_same_source_gives_the_same_bytes_in_every_process(bert, tmp_path):
    code = "import sys; from pathlib import Path; from nosbuild.optimize.slim import slim; "
    code += "slim(Path(sys.argv[1]), Path(sys.argv[2]))"
    found = set()
    for seed in ("1", "2"):
        out = tmp_path / seed
        out.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(bert), str(out)], check=True, env=env)
        found.add((out / "model.onnx").read_bytes())
    assert len(found) == 1


def test_weights_too_large_for_one_message_lie_beside_the_file(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "EXTERNAL_DATA_ABOVE", 10_000)
    assert slim(bert, tmp_path).details["attentions"] == 2
    assert (tmp_path / "model.onnx.data").is_file()
    assert face(tmp_path / "model.onnx") == face(bert)
    feed = next(feeds(BERT_INPUTS))
    np.testing.assert_allclose(run(tmp_path / "model.onnx", feed), run(bert, feed), atol=1e-5)


def write_conv(path):
    rng = np.random.default_rng(0)
    write(
        path,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Add", ["r", "x"], ["s"]),
            helper.make_node("Softmax", ["s"], ["y"], axis=1),
        ],
        [("x", TensorProto.FLOAT, ["batch", 4, "height", 8])],
        [("y", TensorProto.FLOAT, ["batch", 4, "height", 8])],
        {"w": rng.normal(size=(4, 4, 3, 3)).astype(np.float32)},
    )


def test_a_graph_that_is_as_short_as_can_be_is_said_to_be_so(tmp_path):
    write_conv(tmp_path / "conv.onnx")
    made = slim(tmp_path / "conv.onnx", tmp_path)
    assert made.details["changed"] is False and made.how == "nothing to simplify"
    assert face(tmp_path / "model.onnx") == face(tmp_path / "conv.onnx")
    feed = {"x": np.random.default_rng(1).normal(size=(2, 4, 5, 8)).astype(np.float32)}
    np.testing.assert_allclose(
        run(tmp_path / "model.onnx", feed), run(tmp_path / "conv.onnx", feed), atol=1e-6
    )
