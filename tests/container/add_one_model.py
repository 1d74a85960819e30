"""A model that adds one, made by hand, which any user may read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ADD_ONE = """
backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {width} ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
{more}
"""


def write_add_one(
    folder: Path,
    *,
    opset: int = 17,
    ir_version: int = 8,
    instances: int = 1,
    width: int = 4,
    more: str = "",
) -> Path:
    """A model that adds one, made by hand."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        folder.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(np.float32([1]), "one")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1/model.onnx")
    (folder / "config.pbtxt").write_text(
        ADD_ONE.format(width=width, instances=instances, more=more)
    )
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder
