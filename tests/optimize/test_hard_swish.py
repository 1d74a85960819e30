"""Hard-swish however spelled, and what stands beside convolutions: shorter, yet the same."""

import numpy as np
import onnx
import pytest
from attention_models import face, op_types, run, write
from onnx import TensorProto, helper

from nosbuild.optimize.fuse import fuse
from nosbuild.optimize.slim import slim

SHAPE = ["batch", 16, "height", "width"]
FACE = ([("x", TensorProto.FLOAT, SHAPE)], [("y", TensorProto.FLOAT, SHAPE)])
NUMBERS = {
    "three": 3.0,
    "zero": 0.0,
    "six": 6.0,
    "sixth": 1 / 6,
    "half": 0.5,
    "five": 5.0,
    "scale": 0.25,
    "shift": -0.75,
}
CLIP = "Clip s zero six = c"
SPELLINGS = {
    "divided_last": ["Add x three = s", CLIP, "Mul x c = m", "Div m six = y"],
    "turned": ["Add three x = s", CLIP, "Mul c x = m", "Mul sixth m = y"],
    "gate_divided": ["Add x three = s", CLIP, "Div c six = g", "Mul x g = y"],
    "gate_times_sixth": ["Add x three = s", CLIP, "Mul c sixth = g", "Mul g x = y"],
    "input_divided": ["Add x three = s", CLIP, "Div x six = g", "Mul g c = y"],
    "clipped_twice": [
        *("Add x three = s", "Clip s zero = a", "Clip a  six = c"),
        *("Mul x c = m", "Div m six = y"),
    ],
    "min_and_max": [
        *("Add x three = s", "Max s zero = a", "Min six a = c"),
        *("Mul x c = m", "Div m six = y"),
    ],
    "relu_and_min": [
        "Add x three = s",
        "Relu s = a",
        "Min a six = c",
        "Mul x c = m",
        "Div m six = y",
    ],
}
NEAR_MISSES = {
    "another_sum": ["Add x half = s", CLIP, "Mul x c = m", "Div m six = y"],
    "another_top": ["Add x three = s", "Clip s zero five = c", "Mul x c = m", "Div m six = y"],
    "another_divisor": ["Add x three = s", CLIP, "Mul x c = m", "Div m five = y"],
    "divided_by_it": ["Add x three = s", CLIP, "Mul x c = m", "Div six m = y"],
    "no_bottom": ["Add x three = s", "Clip s  six = c", "Mul x c = m", "Div m six = y"],
    "another_factor": ["Add x three = s", CLIP, "Mul s c = m", "Div m six = y"],
    "clip_read_twice": [
        *("Add x three = s", CLIP, "Mul x c = m", "Div m six = n", "Sub n c = y"),
    ],
    "product_read_twice": [
        *("Add x three = s", CLIP, "Mul x c = m", "Div m six = n", "Sub n m = y"),
    ],
}


def write_lines(path, lines, weights=None, opset=20, **attributes):
    nodes = []
    for line in lines:
        left, output = line.split(" = ")
        op_type, *inputs = left.split(" ")
        extra = attributes.get(output, {})
        nodes.append(helper.make_node(op_type, inputs, [output], **extra))
    read = {name for node in nodes for name in node.input}
    numbers = {name: np.float32(value) for name, value in NUMBERS.items() if name in read}
    write(path, nodes, *FACE, {**numbers, **(weights or {})}, opset)


def answers(path, shape=(2, 16, 5, 7)):
    x = np.random.default_rng(0).normal(scale=4, size=shape).astype(np.float32)
    return run(path, {"x": x})


def check(source, made, atol=1e-5):
    onnx.checker.check_model(onnx.load(made), full_check=True)
    assert face(made) == face(source)
    np.testing.assert_allclose(answers(made), answers(source), atol=atol)


@pytest.mark.parametrize("lines", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_becomes_two_operators(lines, tmp_path):
    write_lines(tmp_path / "export.onnx", lines)
    assert slim(tmp_path / "export.onnx", tmp_path).details["changed"]
    assert sorted(op_types(tmp_path / "model.onnx")) == ["HardSigmoid", "Mul"]
    check(tmp_path / "export.onnx", tmp_path / "model.onnx")


@pytest.mark.parametrize("lines", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_what_only_looks_like_it_is_left_alone(lines, tmp_path):
    write_lines(tmp_path / "export.onnx", lines)
    slim(tmp_path / "export.onnx", tmp_path)
    assert sorted(op_types(tmp_path / "model.onnx")) == sorted(op_types(tmp_path / "export.onnx"))
    check(tmp_path / "export.onnx", tmp_path / "model.onnx")


def test_a_clip_of_an_old_opset_has_its_limits_as_attributes(tmp_path):
    lines = ["Add x three = s", "Clip s = c", "Mul x c = m", "Div m six = y"]
    for top, wanted in ((6.0, ["HardSigmoid", "Mul"]), (5.0, ["Add", "Clip", "Div", "Mul"])):
        write_lines(tmp_path / "export.onnx", lines, opset=10, c={"min": 0.0, "max": top})
        slim(tmp_path / "export.onnx", tmp_path)
        assert sorted(op_types(tmp_path / "model.onnx")) == wanted
        check(tmp_path / "export.onnx", tmp_path / "model.onnx")


def test_a_gate_alone_is_hard_sigmoid_and_one_written_so_stays(tmp_path):
    gate = ["Add x three = s", CLIP, "Div c six = g"]
    write_lines(tmp_path / "export.onnx", [*gate, "HardSigmoid x = h", "Sub g h = y"])
    slim(tmp_path / "export.onnx", tmp_path)
    assert sorted(op_types(tmp_path / "model.onnx")) == ["HardSigmoid", "HardSigmoid", "Sub"]
    check(tmp_path / "export.onnx", tmp_path / "model.onnx")


def weights_of(groups, size, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(16, 16 // groups, size, size)).astype(np.float32)


DEPTHWISE = {"group": 16, "pads": [1, 1, 1, 1]}
BLOCK = [
    *("Conv x w = a", "Mul scale a = b", "Add b shift = p", "Add p three = s", CLIP),
    *("Mul p c = m", "Div m six = n", "Mul n scale = o", "Add o half = q", "Conv q v u = y"),
]
"""As text recognisers are built: a convolution, its scale and shift, hard-swish, and both again."""


def write_block(path, size):
    rest = {"v": weights_of(16, size, 2) if size > 1 else weights_of(1, 1, 2)}
    bias = np.arange(16, dtype=np.float32)
    write_lines(
        path, BLOCK, {"w": weights_of(1, 1), "u": bias, **rest}, y=DEPTHWISE if size > 1 else {}
    )


def test_scales_and_shifts_go_into_the_convolutions_beside_them(tmp_path):
    write_block(tmp_path / "export.onnx", 1)
    slim(tmp_path / "export.onnx", tmp_path)
    assert sorted(op_types(tmp_path / "model.onnx")) == ["Conv", "Conv", "HardSigmoid", "Mul"]
    check(tmp_path / "export.onnx", tmp_path / "model.onnx", atol=1e-4)


def test_a_shift_before_zero_padding_stays_and_fused_is_added_by_a_convolution(tmp_path):
    write_block(tmp_path / "export.onnx", 3)
    slim(tmp_path / "export.onnx", tmp_path)
    wanted = ["Add", "Conv", "Conv", "HardSigmoid", "Mul"]
    assert sorted(op_types(tmp_path / "model.onnx")) == wanted
    check(tmp_path / "export.onnx", tmp_path / "model.onnx", atol=1e-4)
    (tmp_path / "fused").mkdir()
    made = fuse(tmp_path / "export.onnx", tmp_path / "fused")
    assert made.details["biases"] == 1 and "1 bias added by convolutions" in made.how
    assert sorted(op_types(tmp_path / "fused" / "model.onnx")) == ["Conv", *wanted[1:]]
    check(tmp_path / "export.onnx", tmp_path / "fused" / "model.onnx", atol=1e-4)


PER_CHANNEL = {"k": np.arange(1, 17, dtype=np.float32).reshape(16, 1, 1), "w": weights_of(1, 1)}
KEPT = {
    "read_twice": ["Conv x w = a", "Mul a scale = b", "Sub b a = y"],
    "along_the_width": ["Conv x w = a", "Mul a along = y"],
    "no_convolution": ["Relu x = a", "Mul a scale = y"],
}


def test_a_number_for_each_channel_is_folded_after_a_convolution(tmp_path):
    write_lines(
        tmp_path / "export.onnx", ["Conv x w = a", "Mul k a = b", "Relu b = y"], PER_CHANNEL
    )
    slim(tmp_path / "export.onnx", tmp_path)
    assert sorted(op_types(tmp_path / "model.onnx")) == ["Conv", "Relu"]
    check(tmp_path / "export.onnx", tmp_path / "model.onnx", atol=1e-3)


@pytest.mark.parametrize("lines", KEPT.values(), ids=KEPT)
def test_what_is_no_convolutions_alone_is_not_folded(lines, tmp_path):
    weights = {"w": weights_of(1, 1), "along": np.arange(7, dtype=np.float32)}
    read = {name for line in lines for name in line.split(" ")}
    weights = {name: array for name, array in weights.items() if name in read}
    write_lines(tmp_path / "export.onnx", lines, weights)
    slim(tmp_path / "export.onnx", tmp_path)
    assert sorted(op_types(tmp_path / "model.onnx")) == sorted(op_types(tmp_path / "export.onnx"))
    check(tmp_path / "export.onnx", tmp_path / "model.onnx", atol=1e-4)
