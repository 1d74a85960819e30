"""8-bit values: calibrated on every item, close to fp32, and given up where they do harm."""

import numpy as np
import onnx
import onnxruntime
import precision_graphs as graphs
import pytest
from onnx import TensorProto, helper, numpy_helper

from nosbuild.errors import InputError, Refused, SampleError
from nosbuild.optimize.candidates import candidates
from nosbuild.optimize.equalising import equalised_weights
from nosbuild.optimize.int8_static import Int8Static, int8_static
from nosbuild.optimize.rescue import Score, rescue
from nosbuild.optimize.rounding import on_steps
from nosbuild.optimize.source_graph import read, set_constants
from nosbuild.optimize.tensorrt.flavours import builders
from nosbuild.optimize.tensorrt.profiles import OptimisationProfile, ShapeRange
from nosbuild.optimize.tensorrt.tensorrt_from_onnx import tensorrt_from_onnx


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path):
    return graphs.convolutions(tmp_path / "source")


def arrays(path):
    return {row.name: numpy_helper.to_array(row) for row in onnx.load(path).graph.initializer}


def range_of(path, tensor):
    scale, zero = (arrays(path)[f"{tensor}_{part}"] for part in ("scale", "zero_point"))
    levels = np.iinfo(zero.dtype)
    low, high = levels.min - int(zero), levels.max - int(zero)
    return low * float(scale), high * float(scale)


def test_a_convolutional_net_stays_close(source, out):
    made = int8_static(source, out, graphs.images(16), True, "minmax")
    path = out / "model.onnx"
    assert made.how == ("8-bit weights per channel and values (minmax of 16 samples), 5 of 5 nodes")
    assert graphs.borders(path) == graphs.borders(source)
    assert graphs.error(path, source, graphs.batch(graphs.images())) < 0.03
    stored = arrays(path)
    eight = [name for name, array in stored.items() if array.dtype == np.int8 and array.ndim > 1]
    assert len(eight) == 5
    assert all(stored[f"{name[: -len('quantized')]}scale"].size > 1 for name in eight)


def test_the_same_bytes_every_time_and_nothing_of_the_maker(source, out, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    for folder in (out, again):
        int8_static(source, folder, graphs.images(4), True, "percentile")
    assert (out / "model.onnx").read_bytes() == (again / "model.onnx").read_bytes()
    model = onnx.load(out / "model.onnx")
    assert not model.metadata_props
    assert not any(node.doc_string for node in model.graph.node)
    assert model.ir_version <= 10
    assert all(row.version <= 20 for row in model.opset_import if not row.domain)


@pytest.mark.parametrize("place", [0, 5, 11])
def test_the_extreme_of_any_one_item_is_in_the_scales(source, out, place):
    items = graphs.images(12)
    items[place]["x"][1, 3, 4] = 57.0
    int8_static(source, out, items, True, "minmax")
    low, high = range_of(out / "model.onnx", "x")
    assert high == pytest.approx(57.0, rel=0.01)
    assert low < -2


def test_rounding_with_care_is_closer_than_to_the_nearest(tmp_path):
    weights = arrays(graphs.products(tmp_path))
    few = graphs.random(8, 64, seed=5)  # 64 inputs that move together, in 8 ways
    inputs = (graphs.random(500, 8, seed=6) @ few).T.astype(np.float64)
    rows = weights["w1"].T[None].astype(np.float64)
    careful = on_steps(rows, (inputs @ inputs.T)[None])
    scales = np.abs(rows).max(2, keepdims=True) / 127
    nearest = np.round(rows / scales) * scales

    def far(made):
        return float(np.linalg.norm((made - rows)[0] @ inputs))

    assert far(careful) < 0.3 * far(nearest)
    steps = careful / scales
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    np.testing.assert_allclose(np.abs(steps).max(2), 127)  # so the scale is found again


@pytest.mark.parametrize("summed", [False, True])
def test_channels_of_uneven_size_are_made_alike(tmp_path, out, summed):
    """Conv -> Conv, the tensor between them with channels of very different size."""
    spread = np.float32(10.0) ** np.linspace(-1.5, 1.5, 16, dtype=np.float32)
    weights = {
        "w1": graphs.random(16, 3, 1, 1, seed=1) * spread[:, None, None, None],
        "b1": graphs.random(16, seed=2) * spread,
        "w2": graphs.random(16, 16, 1, 1, seed=3) / spread[None, :, None, None],
        "w3": graphs.random(4, 16, 1, 1, seed=4) / spread[None, :, None, None],
    }
    weights["w2"] *= spread[:, None, None, None] if summed else 1
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="one"),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], name="two"),
        helper.make_node("Add", ["c1", "c2"], ["sum"], name="add"),
        helper.make_node("Conv", ["sum", "w3"], ["y"], name="three"),
    ]
    if not summed:
        del nodes[2:]
        nodes[1].output[0] = "y"
        del weights["w3"]
    source = graphs.saved(
        tmp_path, nodes, weights, ["b", 3, 4, 4], ["b", 4 if summed else 16, 4, 4]
    )
    items = [{"x": graphs.random(3, 4, 4, seed=index)} for index in range(16)]
    found = equalised_weights(read(source), items, True)
    assert set(found) == set(weights)
    sizes = np.abs(found["w1"]).max((1, 2, 3))
    assert sizes.max() / sizes.min() < 0.1 * spread.max() / spread.min()
    model = onnx.load(source)
    set_constants(model, found)
    same = tmp_path / "same.onnx"
    onnx.save(model, same)
    assert graphs.error(same, source, graphs.batch(items)) < 1e-5
    if not summed:
        int8_static(source, out, items, True, "minmax")
        assert graphs.error(out / "model.onnx", source, graphs.batch(items)) < 0.05


def test_kept_nodes_stay_float_in_the_hands_of_onnx_runtime(source, out):
    """It would quantise their weights itself, with one scale for all channels, when it loads."""
    int8_static(source, out, graphs.images(8), True, "minmax", keep=["depthwise", "again"])
    optimised = out / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(out / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    made = {node.name: node.op_type for node in onnx.load(optimised).graph.node}
    kinds = [kind for kind in made.values() if "Conv" in kind]
    assert sorted(kinds) == ["Conv", "FusedConv", "QLinearConv", "QLinearConv"] or sorted(
        kinds
    ) == ["Conv", "Conv", "QLinearConv", "QLinearConv"]


def test_an_outlier_channel_is_rescued(tmp_path, out):
    size = 32
    weights = {"w1": graphs.random(size, size, seed=1), "w2": graphs.random(size, 4, seed=2)}
    weights["w1"][:, 0] *= 5000  # one channel takes all of the scale ...
    weights["w2"][0] = 0  # ... and says nothing
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="wide"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], name="blind"),
    ]
    source = graphs.saved(tmp_path, nodes, weights, ["batch", size], ["batch", 4])
    items = [{"x": graphs.random(size, seed=index)} for index in range(32)]
    ready = Int8Static(source, items, True)

    def attempt(kept):
        ready.write(out, "minmax", kept)
        return Score(0.05 - graphs.error(out / "model.onnx", source, graphs.batch(items)))

    assert not attempt(frozenset()).holds  # otherwise this shows nothing
    found = rescue(ready.names, attempt)
    assert found.holds
    assert found.kept == ("blind",)
    made = ready.write(out, "minmax", found.kept)
    assert made.how.endswith("1 of 2 nodes; 1 kept in fp32")


def test_the_closest_method_is_taken_and_all_are_told(source, out):
    made = int8_static(source, out, graphs.images(8), True)
    errors = made.details["method_errors"]
    assert set(errors) == {"minmax", "percentile", "entropy"}
    assert errors[made.details["method"]] == min(errors.values())


def test_what_keeping_gives_up_is_counted_in_multiplications(source):
    ready = Int8Static(source, graphs.images(3), True)
    assert ready.costs == {
        "first": 3 * 16 * 64 * 27,
        "depthwise": 3 * 16 * 64 * 9,
        "project": 3 * 16 * 64 * 16,
        "again": 3 * 16 * 64 * 16,
        "classify": 3 * 5 * 16,
    }


def test_for_tensorrt_ranges_are_symmetric_and_biases_float(source, out):
    int8_static(source, out, graphs.images(8), True, "minmax", for_tensorrt=True)
    path = out / "model.onnx"
    stored = arrays(path)
    zeros = [array for name, array in stored.items() if name.endswith("zero_point")]
    assert zeros
    assert all(array.dtype == np.int8 and not array.any() for array in zeros)
    assert TensorProto.INT32 not in {row.data_type for row in onnx.load(path).graph.initializer}
    assert graphs.error(path, source, graphs.batch(graphs.images())) < 0.05


@pytest.mark.skipif(
    "tensorrt_rtx" not in {flavour.name for flavour in builders().available},
    reason="tensorrt-rtx-cu13 is not installed",
)
def test_tensorrt_builds_an_engine_of_it(source, out, tmp_path):
    int8_static(source, out, graphs.images(8), True, "minmax", keep=["again"], for_tensorrt=True)
    shapes = ShapeRange((1, 3, 16, 16), (4, 3, 16, 16), (8, 3, 16, 16))
    engine = tmp_path / "engine"
    engine.mkdir()
    tensorrt_from_onnx(
        out / "model.onnx",
        engine,
        profiles=[OptimisationProfile({"x": shapes})],
        flavour="tensorrt_rtx",
        timing_cache=tmp_path / "timings",
    )
    assert (engine / "model.plan").stat().st_size > 1000


def test_an_older_opset_is_lifted(tmp_path, out):
    source = graphs.convolutions(tmp_path / "old", opset=11)
    int8_static(source, out, graphs.images(4), True, "minmax", keep=["first"])
    assert graphs.error(out / "model.onnx", source, graphs.batch(graphs.images())) < 0.05


def test_items_without_a_batch_axis(tmp_path, out):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    source = graphs.saved(tmp_path, nodes, {"w": graphs.random(8, 3)}, ["n", 8], ["n", 3])
    items = [{"x": graphs.random(rows, 8, seed=rows)} for rows in (1, 4, 9)]
    int8_static(source, out, items, False, "minmax")
    assert graphs.error(out / "model.onnx", source, items[2]["x"]) < 0.05


def test_what_cannot_be_done_is_said(source, tmp_path, out):
    items = graphs.images(2)
    with pytest.raises(Refused, match="no Conv, Gemm or MatMul with constant weights"):
        int8_static(graphs.trees(tmp_path), out, [{"x": np.ones(2, np.float32)}], True)
    names = candidates(source, "int8_static")
    assert names == ["first", "depthwise", "project", "again", "classify"]
    with pytest.raises(Refused, match="every node that could be is kept"):
        int8_static(source, out, items, True, "minmax", keep=names)
    with pytest.raises(InputError, match="no node named nobody"):
        int8_static(source, out, items, True, "minmax", keep=["nobody"])
    items[1] = {"x": np.ones((3, 8, 8), np.float32)}
    with pytest.raises(SampleError, match=r"sample 1: x has shape \[3, 8, 8\], the model takes"):
        int8_static(source, out, items, True, "minmax")
