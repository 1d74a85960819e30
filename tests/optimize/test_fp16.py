"""16 bits: what is converted, what stays, and that the answers stay too."""

import numpy as np
import onnx
import precision_graphs as graphs
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from nosbuild.errors import InputError, Refused
from nosbuild.optimize.bf16 import bf16
from nosbuild.optimize.candidates import candidates
from nosbuild.optimize.emulating import emulate
from nosbuild.optimize.fp16 import fp16
from nosbuild.optimize.half import BFLOAT16, FLOAT16
from nosbuild.optimize.rescue import Score, rescue


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def initializer_types(folder):
    return {row.name: row.data_type for row in onnx.load(folder / "model.onnx").graph.initializer}


def test_weights_are_stored_in_16_bits_with_casts_at_the_borders_only(tmp_path, out):
    source = graphs.convolutions(tmp_path, channels=128)
    made = fp16(source, out)
    assert made.how == "fp16, 10 of 10 nodes"
    path = out / "model.onnx"
    assert set(initializer_types(out).values()) == {TensorProto.FLOAT16}
    assert path.stat().st_size < 0.55 * source.stat().st_size
    assert graphs.operators(path).count("Cast") == 2
    assert graphs.borders(path) == graphs.borders(source)
    assert graphs.error(path, source, graphs.batch(graphs.images())) < 0.01
    again = out / "again"
    again.mkdir()
    fp16(source, again)
    assert (again / "model.onnx").read_bytes() == path.read_bytes()


def test_kept_nodes_compute_in_fp32_with_their_own_weights(tmp_path, out):
    source = graphs.convolutions(tmp_path)
    made = fp16(source, out, keep=["first", "classify"])
    assert "2 kept in fp32" in made.how
    types = initializer_types(out)
    assert {name for name, kind in types.items() if kind == TensorProto.FLOAT} == {
        "w1", "b1", "w5", "b5",
    }  # fmt: skip
    assert graphs.error(out / "model.onnx", source, graphs.batch(graphs.images())) < 0.01


def test_a_constant_beyond_the_range_stays_in_fp32_and_is_told(tmp_path, out):
    weights = {"w": np.diag([1e5, 1.0, 2.0]).astype(np.float32), "v": graphs.random(3, 3)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="huge"),
        helper.make_node("Tanh", ["h"], ["t"], name="tanh"),
        helper.make_node("MatMul", ["t", "v"], ["y"], name="small"),
    ]
    source = graphs.saved(tmp_path, nodes, weights, ["batch", 3], ["batch", 3])
    made = fp16(source, out)
    assert made.details["too_large"] == ["huge"]
    assert "1 in fp32 for constants beyond 65504 (huge)" in made.how
    x = graphs.random(4, 3)
    assert np.isfinite(graphs.run(out / "model.onnx", x)).all()
    assert graphs.error(out / "model.onnx", source, x) < 0.01


def test_an_epsilon_that_would_vanish_stays(tmp_path, out):
    weights = {"eps": np.float32(1e-12), "w": graphs.random(3, 3)}
    nodes = [
        helper.make_node("Add", ["x", "eps"], ["a"], name="guard"),
        helper.make_node("Div", ["x", "a"], ["q"], name="divide"),
        helper.make_node("MatMul", ["q", "w"], ["y"], name="product"),
    ]
    source = graphs.saved(tmp_path, nodes, weights, ["batch", 3], ["batch", 3])
    assert fp16(source, out).details["too_small"] == ["guard"]


def test_values_that_overflow_are_rescued(tmp_path, out):
    weights = {"w": np.full((3, 3), 300.0, np.float32), "s": np.float32(1e-3)}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w"], ["big"], name="big"),
        helper.make_node("Mul", ["big", "s"], ["small"], name="scale"),
        helper.make_node("Sqrt", ["small"], ["root"], name="root"),
        helper.make_node("Add", ["root", "r"], ["y"], name="add"),
    ]
    source = graphs.saved(tmp_path, nodes, weights, ["batch", 3], ["batch", 3])
    x = np.full((2, 3), 200.0, np.float32)
    wanted = graphs.run(source, x)

    def attempt(kept):
        try:
            fp16(source, out, kept)
        except Refused:
            return Score(1.0)
        # ONNX Runtime on a CPU would not overflow: it computes such a graph in float32.
        found = graphs.run(emulate(source, out, FLOAT16, kept), x)
        worst = float(np.abs(found - wanted).max())
        return Score(1.0 - worst if np.isfinite(worst) else float("nan"))

    assert not attempt(frozenset()).holds  # otherwise this shows nothing
    names = candidates(source, "fp16")
    assert names == ["relu", "big", "scale", "root", "add"]
    found = rescue(names, attempt)
    assert found.holds
    assert set(found.kept) == {"big", "scale"}
    fp16(source, out, found.kept)
    (reference,) = ReferenceEvaluator(str(out / "model.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(reference, wanted, rtol=1e-2)


@pytest.mark.parametrize("half", [FLOAT16, BFLOAT16], ids=["fp16", "bf16"])
def test_emulation_answers_as_the_conversion_does_where_it_is_computed(tmp_path, out, half):
    source = graphs.products(tmp_path)
    (fp16 if half is FLOAT16 else bf16)(source, out)
    x = graphs.random(8, 64)
    found = graphs.run(emulate(source, out, half), x)
    (reference,) = ReferenceEvaluator(str(out / "model.onnx")).run(None, {"x": x})
    exact = graphs.run(source, x)
    rounding = np.linalg.norm(reference - exact)
    assert rounding > 0
    assert np.linalg.norm(found - reference) < 0.7 * rounding


def test_fixed_inputs_subgraphs_and_constant_nodes(tmp_path, out):
    branch = helper.make_graph(
        [helper.make_node("Mul", ["up", "k"], ["scaled"])],
        "then",
        [],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["up"], ["same"])],
        "else",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    k = helper.make_tensor("value", TensorProto.FLOAT, [], [2.5])
    nodes = [
        helper.make_node("Constant", [], ["k"], value=k),
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Resize", ["r", "", "scales"], ["up"], name="resize", mode="nearest"),
        helper.make_node("If", ["yes"], ["z"], name="if", then_branch=branch, else_branch=other),
        helper.make_node("Mul", ["z", "k"], ["y"], name="mul"),
    ]
    weights = {"scales": np.float32([1, 1, 2, 2]), "yes": np.array(True)}
    source = graphs.saved(tmp_path, nodes, weights, ["b", 1, 2, 2], ["b", 1, 4, 4])
    made = fp16(source, out)
    assert made.details["no_16_bit_form"] == ["if"]
    assert initializer_types(out)["scales"] == TensorProto.FLOAT
    assert graphs.error(out / "model.onnx", source, graphs.random(2, 1, 2, 2)) < 0.01


def test_onnx_runtimes_own_operators_are_converted(tmp_path, out):
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["m"], domain="com.microsoft", alpha=0.5),
        helper.make_node("BiasGelu", ["m", "b"], ["y"], domain="com.microsoft"),
    ]
    weights = {"w": graphs.random(4, 4), "b": graphs.random(4)}
    source = graphs.saved(
        tmp_path, nodes, weights, ["batch", 4], ["batch", 4], domains=("com.microsoft",)
    )
    assert fp16(source, out).how == "fp16, 2 of 2 nodes"
    assert graphs.error(out / "model.onnx", source, graphs.random(3, 4)) < 0.01


def test_nothing_to_convert_is_refused_with_the_reason(tmp_path, out):
    with pytest.raises(Refused, match="none of its operators has a 16-bit form"):
        fp16(graphs.trees(tmp_path), out)
    source = graphs.products(tmp_path / "products")
    names = candidates(source, "fp16")
    assert names == ["MatMul_0", "Add_1", "Relu_2", "MatMul_3"]
    with pytest.raises(Refused, match="every node that could be converted is kept"):
        fp16(source, out, names)
    with pytest.raises(InputError, match="no node named Conv_7 to keep"):
        fp16(source, out, ["Conv_7"])


def test_bfloat16(tmp_path, out):
    source = graphs.products(tmp_path)
    assert bf16(source, out).how == "bf16, 4 of 4 nodes"
    model = onnx.load(out / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert set(initializer_types(out).values()) == {TensorProto.BFLOAT16}
    x = graphs.random(2, 64)
    (found,) = ReferenceEvaluator(model).run(None, {"x": x})
    wanted = graphs.run(source, x)
    assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)


def test_bfloat16_around_convolutions_only_is_refused(tmp_path, out):
    graphs_of_convolutions = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    source = graphs.saved(
        tmp_path,
        graphs_of_convolutions,
        {"w": graphs.random(2, 3, 1, 1)},
        ["batch", 3, 4, 4],
        ["batch", 2, 4, 4],
    )
    with pytest.raises(Refused, match="Conv of this opset have no 16-bit form"):
        bf16(source, out)
