"""Ranges: every item counts, whatever the method; memory does not grow with the items."""

import tracemalloc

import numpy as np
import onnx
import precision_graphs as graphs
import pytest
from onnx import helper

from nosbuild.errors import SampleError
from nosbuild.optimize.calibration import METHODS, Observed, observe, value_range
from nosbuild.optimize.source_graph import read


def observed(array):
    """As one tensor, of a model that makes it."""
    array = np.asarray(array, np.float32)
    low, high = float(array.min()), float(array.max())
    counts, _ = np.histogram(array, 2048, (low, high))
    return Observed(low, high, counts)


def relu(folder, size):
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="relu")]
    return read(graphs.saved(folder, nodes, {}, ["batch", size], ["batch", size]))


@pytest.mark.parametrize("place", [0, 17, 63])
def test_every_item_counts(tmp_path, place):
    items = [{"x": graphs.random(4, seed=index)} for index in range(64)]
    items[place] = {"x": np.float32([-90, 0, 1, 120])}
    found = observe(relu(tmp_path, 4), items, True, {"x", "y"})
    assert (found["x"].low, found["x"].high) == (-90, 120)
    assert (found["y"].low, found["y"].high) == (0, 120)
    assert found["x"].counts.sum() == found["y"].counts.sum() == 64 * 4
    assert value_range(found["x"], "minmax") == (-90, 120)


def test_items_of_many_shapes(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="relu")]
    model = read(graphs.saved(tmp_path, nodes, {}, ["batch", "n"], ["batch", "n"]))
    items = [{"x": np.full(size, size, np.float32)} for size in (1, 5, 3, 1)]
    found = observe(model, items, True, {"y"})
    assert (found["y"].low, found["y"].high, found["y"].counts.sum()) == (1, 5, 10)


def test_memory_does_not_grow_with_the_items(tmp_path):
    size = 1 << 18  # a megabyte of float32
    model = relu(tmp_path, size)

    class Items:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            return {"x": np.full(size, index, np.float32)} if index < 40 else self._end()

        def _end(self):
            raise IndexError

    tracemalloc.start()
    found = observe(model, Items(), True, {"x", "y"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["y"].high == 39
    assert peak < 16 * 4 * size


def test_percentile_and_entropy_cut_a_lone_outlier():
    values = np.random.default_rng(0).normal(0, 1, 1_000_000).astype(np.float32)
    values[0] = 40
    found = observed(values)
    assert value_range(found, "minmax")[1] == 40
    assert 4 < value_range(found, "percentile")[1] < 6
    assert 4 < value_range(found, "entropy")[1] < 20


@pytest.mark.parametrize("method", METHODS)
def test_zero_and_all_that_matters_lie_in_the_range(method):
    low, high = value_range(observed(np.linspace(2, 3, 1000)), method)
    assert low == 0
    assert high > 2.9
    assert value_range(observed(np.zeros(10)), method) == (0, 0)
    low, high = value_range(observed([-1, 0, 3]), method, symmetric=True)
    assert low == -high


WRONG = {
    "shape": ({"x": np.ones(5, np.float32)}, r"sample 2: x has shape \[5\], the model takes \[4\]"),
    "batch axis": (
        {"x": np.ones((1, 4), np.float32)},
        r"sample 2: x has shape \[1, 4\], the model takes \[4\]",
    ),
    "names": ({"z": np.ones(4, np.float32)}, "sample 2 holds z, the inputs are x"),
    "infinite": ({"x": np.full(4, np.inf, np.float32)}, "sample 2 makes x infinite or NaN"),
}


@pytest.mark.parametrize(("item", "said"), WRONG.values(), ids=WRONG)
def test_an_item_that_does_not_fit_is_named(tmp_path, item, said):
    items = [{"x": np.ones(4, np.float32)}, {"x": np.ones(4, np.float32)}, item]
    with pytest.raises(SampleError, match=said) as caught:
        observe(relu(tmp_path, 4), items, True, {"x", "y"})
    assert caught.value.remedy


def test_no_items_at_all(tmp_path):
    with pytest.raises(SampleError, match="no sample to calibrate with"):
        observe(relu(tmp_path, 4), [], True, {"x"})


def test_values_that_are_no_floats_are_left_out(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="shape"),
        helper.make_node("Relu", ["x"], ["y"], name="relu"),
    ]
    model = read(graphs.saved(tmp_path, nodes, {}, ["batch", 4], ["batch", 4]))
    assert isinstance(model, onnx.ModelProto)
    found = observe(model, [{"x": np.ones(4, np.float32)}], True, {"s", "y", "gone"})
    assert set(found) == {"y"}
