"""Channels evened out: nothing changes in fp32, less is lost in 8 bits, by all of the samples."""

import numpy as np
import onnx
import pytest
from attention_models import face, op_types, run, write
from onnx import TensorProto, helper, numpy_helper

from nosbuild.errors import Refused, SampleError
from nosbuild.optimize.int8_dynamic import int8_dynamic
from nosbuild.optimize.smooth import smooth

WIDE_CHANNEL = 5


def write_network(path, *, normalised=False):
    """Two products; what the first reads comes in as it is, or from a LayerNormalization."""
    rng = np.random.default_rng(0)
    first = "n" if normalised else "x"
    nodes = [
        helper.make_node("MatMul", [first, "w1"], ["a"]),
        helper.make_node("MatMul", [first, "w2"], ["b"]),
        helper.make_node("Mul", ["a", "b"], ["y"]),
    ]
    gamma = np.ones(16, np.float32)
    gamma[WIDE_CHANNEL] = 60
    weights = {f"w{i}": rng.normal(size=(16, 8)).astype(np.float32) for i in (1, 2)}
    if normalised:
        nodes.insert(0, helper.make_node("LayerNormalization", ["x", "g", "bias"], ["n"]))
        weights |= {"g": gamma, "bias": rng.normal(size=16).astype(np.float32)}
    write(
        path,
        nodes,
        [("x", TensorProto.FLOAT, ["batch", "seq", 16])],
        [("y", TensorProto.FLOAT, ["batch", "seq", 8])],
        weights,
    )


def items(count=6, wide=60.0, wide_in=None):
    """One channel is wide, in every item or in one alone."""
    rng = np.random.default_rng(1)
    made = []
    for index in range(count):
        x = rng.normal(size=(4, 16)).astype(np.float32)
        if wide_in in (None, index):
            x[:, WIDE_CHANNEL] *= wide
        made.append({"x": x})
    return made


def error(path, wanted_path, samples):
    found = [np.stack([item["x"] for item in samples])]
    got, wanted = run(path, {"x": found[0]}), run(wanted_path, {"x": found[0]})
    return np.abs(got - wanted).mean() / np.abs(wanted).mean()


def test_the_function_stays_and_8_bits_lose_less(tmp_path):
    source, samples = tmp_path / "export.onnx", items()
    write_network(source)
    made = smooth(source, tmp_path, samples, batched=True)
    assert made.details["smoothed"] == 1 and "from 6 samples" in made.how
    assert face(tmp_path / "model.onnx") == face(source)
    assert error(tmp_path / "model.onnx", source, samples) < 1e-5
    losses = []
    for given, name in ((source, "as_it_is"), (tmp_path / "model.onnx", "smoothed")):
        (tmp_path / name).mkdir()
        int8_dynamic(given, tmp_path / name)
        losses.append(error(tmp_path / name / "model.onnx", source, samples))
    assert losses[1] < losses[0] / 2


def test_a_normalisation_before_takes_the_factors_at_no_cost(tmp_path):
    source, samples = tmp_path / "export.onnx", items(wide=1.0)
    write_network(source, normalised=True)
    smooth(source, tmp_path, samples, batched=True)
    assert sorted(op_types(tmp_path / "model.onnx")) == sorted(op_types(source))
    gamma = numpy_helper.to_array(
        next(
            row
            for row in onnx.load(tmp_path / "model.onnx").graph.initializer
            if row.name.endswith("_smoothed_1")
        )
    )
    assert gamma.max() / gamma.mean() < 8
    assert error(tmp_path / "model.onnx", source, samples) < 1e-5


def test_the_last_of_the_samples_counts_as_much_as_the_first(tmp_path):
    source = tmp_path / "export.onnx"
    write_network(source)
    assert smooth(source, tmp_path, items(wide_in=5), batched=True).details["smoothed"] == 1
    with pytest.raises(Refused, match="nothing to smooth"):
        smooth(source, tmp_path, items(wide_in=5)[:5], batched=True)


def test_samples_that_do_not_fit_are_told(tmp_path):
    source = tmp_path / "export.onnx"
    write_network(source)
    with pytest.raises(SampleError, match="no sample"):
        smooth(source, tmp_path, [], batched=True)
    with pytest.raises(SampleError, match="sample 1: x has shape"):
        wrong = {"x": np.zeros((4, 15), np.float32)}
        smooth(source, tmp_path, [*items(1), wrong], batched=True)
