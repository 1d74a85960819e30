"""IR version and opset of a file, read without its weights."""

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from nosbuild.errors import RepositoryError
from nosbuild.plan.onnx_limits import onnx_limits
from nosbuild.repository.onnx_header import OnnxHeader, read_onnx_header


def model(opset, ir_version):
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def test_what_a_file_says(tmp_path):
    onnx.save(model(19, 9), tmp_path / "m.onnx")
    assert read_onnx_header(tmp_path / "m.onnx") == OnnxHeader(9, 19)


@pytest.mark.parametrize("content", [b"\x08", b"not an ONNX file", b"\x3a\xff\x01ab"])
def test_what_is_no_such_file(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(RepositoryError, match="is no ONNX file"):
        read_onnx_header(tmp_path / "m.onnx")
    with pytest.raises(RepositoryError, match="is no ONNX file"):
        read_onnx_header(tmp_path / "none.onnx")


def test_the_installed_onnx_runtime_loads_what_the_table_says():
    ir_version, opset = onnx_limits(onnxruntime.__version__)
    content = model(opset, ir_version).SerializeToString()
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
