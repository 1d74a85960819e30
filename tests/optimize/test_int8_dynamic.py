"""8-bit matrix products whose input ranges are found at every run."""

import numpy as np
import onnx
import precision_graphs as graphs
import pytest
from onnx import helper, numpy_helper

from nosbuild.errors import Refused
from nosbuild.optimize.candidates import candidates
from nosbuild.optimize.int8_dynamic import int8_dynamic


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_products_are_quantised_per_channel(tmp_path, out):
    source = graphs.products(tmp_path)
    made = int8_dynamic(source, out)
    path = out / "model.onnx"
    assert made.how == "8-bit weights per channel, 2 of 2 matrix products"
    assert graphs.operators(path).count("MatMulInteger") == 2
    assert graphs.borders(path) == graphs.borders(source)
    stored = {r.name: numpy_helper.to_array(r) for r in onnx.load(path).graph.initializer}
    assert stored["w1_quantized"].dtype == np.int8
    assert stored["w1_scale"].shape == (64,)
    assert "w1" not in stored
    assert graphs.error(path, source, graphs.random(8, 64)) < 0.03
    assert path.stat().st_size < 0.5 * source.stat().st_size
    first = path.read_bytes()
    int8_dynamic(source, out)
    assert path.read_bytes() == first


def test_a_gemm_is_quantised_and_its_bias_kept(tmp_path, out):
    source = graphs.convolutions(tmp_path)
    made = int8_dynamic(source, out)
    assert made.details["converted"] == 1
    assert graphs.operators(out / "model.onnx").count("MatMulInteger") == 1
    assert graphs.operators(out / "model.onnx").count("Gemm") == 0
    x = graphs.batch(graphs.images())
    assert 0 < graphs.error(out / "model.onnx", source, x) < 0.03


def test_samples_make_the_weights_better(tmp_path, out):
    source = graphs.products(tmp_path)
    mixing = graphs.random(64, 64, seed=5, scale=0.3)
    items = [{"x": graphs.random(64, seed=index) @ mixing} for index in range(60)]
    x = items[3]["x"][None]
    wanted = graphs.run(source, graphs.batch(items))

    def far():
        found = np.concatenate([graphs.run(out / "model.onnx", row["x"][None]) for row in items])
        return float(np.linalg.norm(found - wanted))

    int8_dynamic(source, out)
    nearest = far()
    made = int8_dynamic(source, out, items=items)
    assert "rounded by 60 samples" in made.how
    assert far() < 0.9 * nearest
    assert graphs.error(out / "model.onnx", source, x) < 0.03


def test_kept_products_stay(tmp_path, out):
    source = graphs.products(tmp_path)
    assert candidates(source, "int8_dynamic") == ["MatMul_0", "MatMul_3"]
    made = int8_dynamic(source, out, keep=["MatMul_3"])
    assert made.details["kept"] == ["MatMul_3"]
    operators = graphs.operators(out / "model.onnx")
    assert (operators.count("MatMulInteger"), operators.count("MatMul")) == (1, 1)


def test_fused_attention_is_quantised(tmp_path, out):
    weights = {
        "w": graphs.random(16, 48, scale=0.3),
        "b": graphs.random(48),
        "v": graphs.random(16, 4),
    }
    nodes = [
        helper.make_node(
            "Attention", ["x", "w", "b"], ["a"], name="attend", domain="com.microsoft", num_heads=2
        ),
        helper.make_node("MatMul", ["a", "v"], ["y"], name="product"),
    ]
    source = graphs.saved(
        tmp_path, nodes, weights, ["batch", 5, 16], ["batch", 5, 4], domains=("com.microsoft",)
    )
    assert candidates(source, "int8_dynamic") == ["attend", "product"]
    int8_dynamic(source, out)
    assert "QAttention" in graphs.operators(out / "model.onnx")
    assert graphs.error(out / "model.onnx", source, graphs.random(2, 5, 16)) < 0.05


def test_convolutions_alone_are_refused(tmp_path, out):
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    source = graphs.saved(
        tmp_path, nodes, {"w": graphs.random(2, 3, 1, 1)}, ["b", 3, 4, 4], ["b", 2, 4, 4]
    )
    with pytest.raises(
        Refused, match="no MatMul, Gemm or Attention with constant weights"
    ) as caught:
        int8_dynamic(source, out)
    assert caught.value.remedy
    products = graphs.products(tmp_path / "products")
    with pytest.raises(Refused, match="every node that could be is kept in fp32"):
        int8_dynamic(products, out, keep=["MatMul_0", "MatMul_3"])
