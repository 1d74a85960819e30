"""Small real graphs, and how to run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def saved(
    folder: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    x: list[int | str],
    y: list[int | str],
    opset: int = 20,
    domains: tuple[str, ...] = (),
    types: tuple[int, int] = (FLOAT, FLOAT),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", types[0], x)],
        [helper.make_tensor_value_info("y", types[1], y)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10 if opset > 15 else 8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, scale, shape)
    return drawn.astype(np.float32)


def convolutions(folder: Path, opset: int = 20, channels: int = 16) -> Path:
    """x[batch, 3, 16, 16] -> y[batch, 5]: a plain, a depthwise and two pointwise Conv, a Gemm."""
    c = channels
    weights = {
        "w1": random(c, 3, 3, 3, seed=1, scale=0.3),
        "b1": random(c, seed=2, scale=0.1),
        "w2": random(c, 1, 3, 3, seed=3, scale=0.4),
        "b2": random(c, seed=4, scale=0.1),
        "w3": random(c, c, 1, 1, seed=5, scale=0.3),
        "b3": random(c, seed=6, scale=0.1),
        "w4": random(c, c, 1, 1, seed=7, scale=0.3),
        "b4": random(c, seed=8, scale=0.1),
        "w5": random(5, c, seed=9, scale=0.3),
        "b5": random(5, seed=10, scale=0.1),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="depthwise", group=c, pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        node("Conv", ["r2", "w3", "b3"], ["c3"], name="project"),
        node("Conv", ["c3", "w4", "b4"], ["c4"], name="again"),
        node("Add", ["c3", "c4"], ["sum"], name="add"),
        node("GlobalAveragePool", ["sum"], ["mean"], name="pool"),
        node("Flatten", ["mean"], ["flat"], name="flatten"),
        node("Gemm", ["flat", "w5", "b5"], ["y"], name="classify", transB=1),
    ]
    return saved(folder, nodes, weights, ["batch", 3, 16, 16], ["batch", 5], opset)


def images(count: int = 8, seed: int = 0) -> list[dict[str, np.ndarray]]:
    return [{"x": random(3, 16, 16, seed=seed + index)} for index in range(count)]


def products(folder: Path, size: int = 64) -> Path:
    """x[batch, size] -> MatMul, Add, Relu, MatMul -> y[batch, 8]; nodes without names."""
    weights = {
        "w1": random(size, size, seed=1, scale=0.2),
        "b1": random(size, seed=2),
        "w2": random(size, 8, seed=3, scale=0.2),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"]),
        helper.make_node("Relu", ["a1"], ["r1"]),
        helper.make_node("MatMul", ["r1", "w2"], ["y"]),
    ]
    return saved(folder, nodes, weights, ["batch", size], ["batch", 8])


def trees(folder: Path) -> Path:
    """One split, by the machine-learning operators: no float arithmetic to convert."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, 2.0],
        n_targets=1,
    )
    return saved(folder, [node], {}, ["batch", 2], ["batch", 1], domains=("ai.onnx.ml",))


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def batch(items: list[dict[str, np.ndarray]]) -> np.ndarray:
    return np.stack([item["x"] for item in items])


def error(path: Path, source: Path, x: np.ndarray) -> float:
    """Of the answers, beside their size."""
    wanted, found = run(source, x), run(path, x)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def borders(path: Path) -> list[tuple[str, int, list[int | str]]]:
    """Name, type and sizes of the graph's own tensors."""
    graph = onnx.load(path).graph
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    ]


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]
