"""Graphs fused for ONNX Runtime: attentions as one operator each, and nothing that is none."""

import numpy as np
import onnx
import onnxruntime
import pytest
from attention_models import (
    export_bert,
    export_causal,
    face,
    feeds,
    op_types,
    run,
    write,
    write_older_bert,
)
from onnx import TensorProto, helper

from nosbuild.optimize.fuse import fuse
from nosbuild.optimize.slim import slim

OLDER_INPUTS = {"x": ("floats", 16), "mask": ("mask",)}


def fused_attentions(path):
    nodes = onnx.load(path).graph.node
    return [node for node in nodes if node.op_type == "MultiHeadAttention"]


def heads(node):
    return next(row.i for row in node.attribute if row.name == "num_heads")


def test_an_exported_bert_keeps_its_answers(tmp_path):
    export_bert(tmp_path / "export.onnx", heads=4)
    made = fuse(tmp_path / "export.onnx", tmp_path)
    assert made.details["MultiHeadAttention"] == 2 and "2 attentions fused" in made.how
    assert [heads(node) for node in fused_attentions(tmp_path / "model.onnx")] == [4, 4]
    assert "Softmax" not in op_types(tmp_path / "model.onnx")
    assert face(tmp_path / "model.onnx") == face(tmp_path / "export.onnx")
    for feed in feeds({"ids": ("ids", 50), "mask": ("mask",)}):
        wanted, got = run(tmp_path / "export.onnx", feed), run(tmp_path / "model.onnx", feed)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def export_causal_attention(path):
    export_causal(path)
    return {"x": ("floats", 24), "mask": ("mask",)}


def write_guarded_attention(path):
    write_older_bert(path, guarded=True)
    return OLDER_INPUTS


@pytest.mark.parametrize("write_source", [export_causal_attention, write_guarded_attention])
def test_rows_without_any_key_keep_their_answers_simplified_before_or_not(tmp_path, write_source):
    source, simpler = tmp_path / "export.onnx", tmp_path / "simpler"
    inputs = write_source(source)
    simpler.mkdir()
    slim(source, simpler)
    for given in (source, simpler / "model.onnx"):
        assert fuse(given, tmp_path).details["MultiHeadAttention"] == 1
        for feed in feeds(inputs):
            wanted, got = run(source, feed), run(tmp_path / "model.onnx", feed)
            np.testing.assert_allclose(got, wanted, atol=1e-6)
            feed["mask"][:] = 0
            wanted, got = run(source, feed), run(tmp_path / "model.onnx", feed)
            np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("count", [2, 8])
def test_attention_of_older_exporters_is_fused_with_its_mask(tmp_path, count):
    write_older_bert(tmp_path / "export.onnx", heads=count)
    assert fuse(tmp_path / "export.onnx", tmp_path).details["MultiHeadAttention"] == 1
    (node,) = fused_attentions(tmp_path / "model.onnx")
    assert heads(node) == count and node.input[4]
    for feed in feeds(OLDER_INPUTS):
        got = run(tmp_path / "model.onnx", feed)
        np.testing.assert_allclose(got, run(tmp_path / "export.onnx", feed), atol=1e-5)
    feed["mask"][:] = 1  # the mask is no decoration
    assert np.abs(run(tmp_path / "model.onnx", feed) - got).max() > 0.1


def test_a_mask_of_any_numbers_is_added_as_it_is(tmp_path):
    """Not 0 or 1: numbers that a caller gives count by themselves."""
    write_older_bert(tmp_path / "export.onnx", mask_from=TensorProto.FLOAT)
    assert fuse(tmp_path / "export.onnx", tmp_path).details["MultiHeadAttention"] == 1
    (node,) = fused_attentions(tmp_path / "model.onnx")
    assert len(node.input) == 6 and not node.input[4]
    for feed in feeds(OLDER_INPUTS):
        shape = feed["mask"].shape
        feed["mask"] = 1 - np.random.default_rng(0).random(shape, np.float32) / 5000
        wanted, got = run(tmp_path / "export.onnx", feed), run(tmp_path / "model.onnx", feed)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def sum_over_queries(model):
    node = next(row for row in model.graph.node if row.op_type == "Softmax")
    node.attribute[0].i = -2


def show_the_shares(model):
    model.graph.output.append(helper.make_tensor_value_info("shares", TensorProto.FLOAT, None))


@pytest.mark.parametrize("spoil", [sum_over_queries, show_the_shares])
def test_what_is_not_quite_an_attention_is_left_alone(tmp_path, spoil):
    write_older_bert(tmp_path / "export.onnx")
    model = onnx.load(tmp_path / "export.onnx")
    spoil(model)
    onnx.save(model, tmp_path / "export.onnx")
    made = fuse(tmp_path / "export.onnx", tmp_path)
    assert made.details["changed"] is False and made.how == "nothing to fuse"
    assert "Softmax" in op_types(tmp_path / "model.onnx")


def test_residual_sums_are_not_made_one_slow_operator_at_load(tmp_path):
    weights = {"g": np.ones(8, np.float32), "b": np.zeros(8, np.float32)}
    write(
        tmp_path / "export.onnx",
        [
            helper.make_node("Add", ["x", "r"], ["s"]),
            helper.make_node("LayerNormalization", ["s", "g", "b"], ["y"]),
        ],
        [(name, TensorProto.FLOAT, ["batch", "seq", 8]) for name in "xr"],
        [("y", TensorProto.FLOAT, ["batch", "seq", 8])],
        weights,
    )
    assert fuse(tmp_path / "export.onnx", tmp_path).details["residual_sums"] == 1
    loaded = {name: ops_after_load(tmp_path / name) for name in ("export.onnx", "model.onnx")}
    assert loaded["model.onnx"] == ["LayerNormalization", "Sum"]
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=(2, 3, 8)).astype(np.float32) for name in "xr"}
    wanted, got = run(tmp_path / "export.onnx", feed), run(tmp_path / "model.onnx", feed)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def ops_after_load(path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".loaded"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return sorted(op_types(path.with_suffix(".loaded")))


def test_a_model_without_attention_is_left_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    write(
        tmp_path / "export.onnx",
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [("y", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        {"w": rng.normal(size=(4, 4, 3, 3)).astype(np.float32)},
    )
    made = fuse(tmp_path / "export.onnx", tmp_path)
    assert made.details["changed"] is False and made.details["MultiHeadAttention"] == 0
    assert {row.domain for row in onnx.load(tmp_path / "model.onnx").opset_import} == {""}
