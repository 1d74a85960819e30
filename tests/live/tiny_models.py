"""Tiny Triton models for the live tests, written as a user would by hand."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

# A batch leaves as soon as it holds this many items, the model's maximum, and not before: what
# comes at once is one batch however slow the machine is. The delay ends a test that is wrong.
GATHERS = (
    "dynamic_batching {{ preferred_batch_size: {} max_queue_delay_microseconds: 60000000 }}"
).format
WAITS = "dynamic_batching { max_queue_delay_microseconds: 20000 }"

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
_CONFIG_TYPES = {FLOAT: "TYPE_FP32", INT64: "TYPE_INT64", STRING: "TYPE_STRING"}


def onnx_model(folder, nodes, inputs, outputs, constants=()):
    """Writes ``folder/1/model.onnx``; inputs and outputs are ``(name, type, shape)``."""
    graph = helper.make_graph(
        nodes,
        folder.name,
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*entry) for entry in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1/model.onnx")


def config(folder, inputs, outputs, *, max_batch_size=0, backend="onnxruntime", more=""):
    """Writes ``config.pbtxt``; inputs and outputs are ``(name, type, dims)`` of one item."""
    entries = [
        f'{kind} {{ name: "{name}" data_type: {_CONFIG_TYPES[kind_of]} dims: {dims} }}'
        for kind, group in (("input", inputs), ("output", outputs))
        for name, kind_of, dims in group
    ]
    (folder / "config.pbtxt").write_text(
        "\n".join(
            [
                f'name: "{folder.name}"',
                f'backend: "{backend}"',
                f"max_batch_size: {max_batch_size}",
                *entries,
                more,
            ]
        )
    )


def add_one(repository: Path, name="add_one", more="dynamic_batching { }"):
    """Y = x + 1, batched."""
    folder = repository / name
    onnx_model(
        folder,
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [("x", FLOAT, ["batch", 4])],
        [("y", FLOAT, ["batch", 4])],
        [helper.make_tensor("one", FLOAT, [], [1.0])],
    )
    x, y = ("x", FLOAT, [4]), ("y", FLOAT, [4])
    config(folder, [x], [y], max_batch_size=16, more=more)


def ragged(repository: Path, name="ragged", more=WAITS):
    """Y = x and n = -x, batched, of any width: two outputs, of which one may be asked for."""
    folder = repository / name
    onnx_model(
        folder,
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["n"])],
        [("x", FLOAT, ["batch", "width"])],
        [("y", FLOAT, ["batch", "width"]), ("n", FLOAT, ["batch", "width"])],
    )
    outputs = [("y", FLOAT, [-1]), ("n", FLOAT, [-1])]
    config(folder, [("x", FLOAT, [-1])], outputs, max_batch_size=16, more=more)


def gathered(repository: Path):
    """The same; waits for 16 items."""
    ragged(repository, "gathered", GATHERS(16))


def text(repository: Path):
    """Y = x for strings, batched."""
    folder = repository / "text"
    onnx_model(
        folder,
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", STRING, ["batch", "words"])],
        [("y", STRING, ["batch", "words"])],
    )
    dims = [-1]
    config(folder, [("x", STRING, dims)], [("y", STRING, dims)], max_batch_size=8, more=WAITS)


def scalar(repository: Path):
    """Y = -x without any axis; Triton carries it as [1]."""
    folder = repository / "scalar"
    onnx_model(
        folder, [helper.make_node("Neg", ["x"], ["y"])], [("x", FLOAT, [])], [("y", FLOAT, [])]
    )
    config(folder, [("x", FLOAT, [1])], [("y", FLOAT, [1])])


def scalar_items(repository: Path):
    """Y = -x, one number an item; ``reshape`` takes away the axis that Triton wants."""
    folder = repository / "scalar_items"
    onnx_model(
        folder,
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", FLOAT, ["batch"])],
        [("y", FLOAT, ["batch"])],
    )
    config(folder, [], [], max_batch_size=8)
    with (folder / "config.pbtxt").open("a") as file:
        for kind, name in (("input", "x"), ("output", "y")):
            file.write(f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: 1 reshape {{ }} }}\n')


def unbatched(repository: Path):
    """Y = the sum over both axes of a matrix; the first axis is no batch."""
    folder = repository / "unbatched"
    onnx_model(
        folder,
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [("x", FLOAT, ["rows", "columns"])],
        [("y", FLOAT, [])],
    )
    config(folder, [("x", FLOAT, [-1, -1])], [("y", FLOAT, [1])])


def lookup(repository: Path):
    """Y = table[x]: fails for an index that is not in the table of ten. Waits for 8 items."""
    folder = repository / "lookup"
    table = helper.make_tensor("table", FLOAT, [10], [float(10 * i) for i in range(10)])
    onnx_model(
        folder,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [("x", INT64, ["batch", 1])],
        [("y", FLOAT, ["batch", 1])],
        [table],
    )
    config(folder, [("x", INT64, [1])], [("y", FLOAT, [1])], max_batch_size=8, more=GATHERS(8))


SLOW = '''
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers after a while."""

    def execute(self, requests):
        time.sleep(0.1)
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(
                        "y", pb_utils.get_input_tensor_by_name(request, "x").as_numpy() * 2
                    )
                ]
            )
            for request in requests
        ]
'''


def slow(repository: Path, code=SLOW, name="slow", more="dynamic_batching { }"):
    """Y = 2x after a tenth of a second, in Python."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.py").write_text(code)
    tensors = [("x", FLOAT, [1])], [("y", FLOAT, [1])]
    config(folder, *tensors, max_batch_size=16, backend="python", more=more)


def in_python(repository: Path):
    """Y = 2x, in Python; waits for 16 items."""
    slow(repository, name="in_python", more=GATHERS(16))


ALL = (add_one, ragged, gathered, text, scalar, scalar_items, unbatched, lookup, in_python)
