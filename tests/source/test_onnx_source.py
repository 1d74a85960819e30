"""ONNX files as a user brings them: their own names, axes and leftovers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nosbuild.errors import SourceError, SpecError
from nosbuild.source.load import load_source

FLOAT = TensorProto.FLOAT


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(folder, nodes, inputs, outputs, constants=(), **options):
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx", **options)


def double(folder, shape=("N", 3), **options):
    two = numpy_helper.from_array(np.float32(2), "two")
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    save(folder, [node], [value("x", shape)], [value("y", shape)], [two], **options)


ONNX = "source: {onnx: model.onnx}\n"


def test_undeclared_tensors_come_from_the_file(make_model, tmp_path):
    double(tmp_path / "m", ["N", "time-steps", 3])
    source, spec = load_source(make_model(ONNX + "dims: {time_steps: 1..8}"))
    assert [t.declaration for t in source.inputs] == ["float32[batch, time_steps, 3]"]
    assert [t.declaration for t in source.outputs] == ["float32[batch, time_steps, 3]"]
    assert spec.is_batched


def test_an_axis_without_a_range_is_asked_for(make_model, tmp_path):
    double(tmp_path / "m", ["N", "time-steps", 3])
    with pytest.raises(SpecError) as caught:
        load_source(make_model(ONNX))
    assert [problem.key for problem in caught.value.problems] == ["dims.time_steps"]


def test_declared_names_for_axes_are_the_users(make_model, tmp_path, export):
    double(tmp_path / "m", ["N", "T"])
    yaml = "inputs: {x: 'float32[rows, cols]'}\noutputs: {y: 'float32[rows, cols]'}\n"
    exported = export(make_model(ONNX + yaml + "dims: {rows: 1..4, cols: 1..9}"))
    assert exported.inputs == {"x": ["rows", "cols"]}
    exported.agrees_at(rows=3, cols=7)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("inputs: {z: 'float32[batch, 3]'}", "inputs.z: the file has no such input"),
        ("inputs: {x: 'float32[batch, 4]'}", "x is float32[batch, 4], the file has float32[N, 3]"),
        ("inputs: {x: 'float64[batch, 3]'}", "x is float64[batch, 3], the file has float32[N, 3]"),
        ("inputs: {x: 'float32[batch]'}", "x is float32[batch], the file has float32[N, 3]"),
        ("outputs: {z: 'float32[batch, 3]'}", "outputs.z: the file has no such output"),
    ],
)
def test_declarations_that_the_file_does_not_keep(make_model, tmp_path, declared, said):
    double(tmp_path / "m")
    with pytest.raises(SourceError) as caught:
        load_source(make_model(ONNX + declared))
    assert said in caught.value.message
    assert caught.value.remedy


def test_a_fixed_axis_cannot_be_declared_to_vary(make_model, tmp_path):
    double(tmp_path / "m", [2, 3])
    with pytest.raises(
        SourceError, match=r"x is float32\[batch, 3\], the file has float32\[2, 3\]"
    ):
        load_source(make_model(ONNX + "inputs: {x: 'float32[batch, 3]'}"))


def test_inputs_left_out_are_named(make_model, tmp_path):
    shape = ["N", 3]
    node = helper.make_node("Add", ["a", "b"], ["y"])
    save(tmp_path / "m", [node], [value("a", shape), value("b", shape)], [value("y", shape)])
    with pytest.raises(SourceError, match="inputs: the file also needs b"):
        load_source(make_model(ONNX + "inputs: {a: 'float32[batch, 3]'}"))


def test_another_order_and_fewer_outputs_than_the_file(make_model, tmp_path, export):
    shape = ["N", 3]
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["difference"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
    ]
    inputs = [value("a", shape), value("b", shape)]
    save(tmp_path / "m", nodes, inputs, [value("difference", shape), value("sum", shape)])
    yaml = "inputs: {b: 'float32[batch, 3]', a: 'float32[batch, 3]'}\n"
    exported = export(make_model(ONNX + yaml + "outputs: {sum: 'float32[batch, 3]'}"))
    assert list(exported.inputs) == ["b", "a"]
    assert list(exported.outputs) == ["sum"]
    exported.agrees_at(batch=2)


def test_an_initializer_listed_as_an_input_is_no_input(make_model, tmp_path, export):
    two = numpy_helper.from_array(np.float32([2, 2, 2]), "two")
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    inputs = [value("x", ["N", 3]), value("two", [3])]
    save(tmp_path / "m", [node], inputs, [value("y", ["N", 3])], [two])
    exported = export(make_model(ONNX))
    assert list(exported.inputs) == ["x"]
    exported.agrees_at(batch=4)


def test_subgraphs_and_their_inner_names(make_model, tmp_path, export):
    """The branches of an If see outer values by name, also after those were renamed."""
    shape = ["N", 3]
    branches = {
        f"{branch}_branch": helper.make_graph(
            [helper.make_node(op, ["hidden", "x"], [f"{branch}_out"])],
            branch,
            [],
            [value(f"{branch}_out", shape)],
        )
        for branch, op in (("then", "Add"), ("else", "Sub"))
    }
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["hidden"]),
        helper.make_node("If", ["flag"], ["y"], **branches),
    ]
    inputs = [value("x", shape), value("flag", [], TensorProto.BOOL)]
    save(tmp_path / "m", nodes, inputs, [value("y", shape)])
    yaml = "inputs: {flag: 'bool[]', x: 'float32[n, 3]'}\noutputs: {y: 'float32[n, 3]'}\n"
    exported = export(make_model(ONNX + yaml + "dims: {n: 1..4}"))
    x = np.full((2, 3), 3, np.float32)
    np.testing.assert_array_equal(exported.run(x=x, flag=np.array(True))["y"], x * x + x)
    np.testing.assert_array_equal(exported.run(x=x, flag=np.array(False))["y"], x * x - x)


def test_external_data_is_carried_along(make_model, tmp_path, export):
    weights = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    save(
        tmp_path / "m",
        [node],
        [value("x", ["N", 3])],
        [value("y", ["N", 1000])],
        [numpy_helper.from_array(weights, "w")],
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    assert (tmp_path / "m/model.onnx.data").is_file()
    exported = export(make_model(ONNX))
    x = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(exported.run(x=x)["y"], weights)


def test_missing_external_data(make_model, tmp_path):
    double(tmp_path / "m", save_as_external_data=True, location="w.data", size_threshold=0)
    (tmp_path / "m/w.data").unlink()
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_source(make_model(ONNX))


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x07\x12\x04test"])
def test_a_broken_file(make_model, tmp_path, content):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.onnx").write_bytes(content)
    with pytest.raises(SourceError, match=r"model.onnx cannot be loaded") as caught:
        load_source(make_model(ONNX))
    assert "complete ONNX file" in caught.value.remedy


def test_a_file_that_does_not_tell_an_outputs_shape(make_model, tmp_path, export):
    two = numpy_helper.from_array(np.float32(2), "two")
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    output = helper.make_tensor_value_info("y", FLOAT, None)
    save(tmp_path / "m", [node], [value("x", ["N", 3])], [output], [two])
    with pytest.raises(SourceError, match=r"outputs\.y: the file does not tell its shape"):
        load_source(make_model(ONNX))
    exported = export(make_model(ONNX + "outputs: {y: 'float32[batch, 3]'}"))
    exported.agrees_at(batch=2)


def test_sequences_are_no_tensors(make_model, tmp_path):
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, [None]))
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    output = helper.make_value_info("y", kind)
    save(tmp_path / "m", [node], [value("x", ["N"])], [output])
    with pytest.raises(SourceError, match="y is a sequence_type, not a tensor"):
        load_source(make_model(ONNX))


def test_complex_numbers_cannot_be_served(make_model, tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    complex64 = TensorProto.COMPLEX64
    save(
        tmp_path / "m",
        [node],
        [value("x", ["N"], complex64)],
        [value("y", ["N"], complex64)],
    )
    with pytest.raises(SourceError):
        load_source(make_model(ONNX))


def test_strings_pass_through(make_model, tmp_path, export):
    words = numpy_helper.from_array(np.array(["-"], dtype=object), "dash")
    node = helper.make_node("Concat", ["text", "dash"], ["y"], axis=0)
    string = TensorProto.STRING
    save(
        tmp_path / "m", [node], [value("text", ["n"], string)], [value("y", ["m"], string)], [words]
    )
    yaml = "inputs: {text: 'string[n]'}\noutputs: {y: 'string[m]'}\ndims: {n: 1..4}"
    exported = export(make_model(ONNX + yaml))
    text = np.array(["ü", ""], dtype=object)
    assert list(exported.run(text=text)["y"]) == ["ü", "", "-"]


def test_a_batch_axis_that_the_file_fixes_at_one(make_model, tmp_path):
    double(tmp_path / "m", [1, 3])
    declared = "inputs: {x: 'float32[batch, 3]'}\noutputs: {y: 'float32[batch, 3]'}\n"
    with pytest.raises(SourceError) as caught:
        load_source(make_model(ONNX + declared))
    assert "fixed at 1: export it again with a dynamic batch axis" in caught.value.remedy


MAKING = """
import onnx
from pathlib import Path

def create():
    model = onnx.load(Path(__file__).parent / "stored.onnx")
    model.graph.node[0].op_type = "Add"
    return model
"""


def test_a_model_that_a_callable_makes(make_model, tmp_path, export):
    double(tmp_path / "m")
    (tmp_path / "m/model.onnx").rename(tmp_path / "m/stored.onnx")
    exported = export(make_model("source: {onnx: 'surgery.py:create'}\n", surgery=MAKING))
    found = exported.agrees_at(batch=2)
    inputs = exported.run(x=np.full((1, 3), 5, np.float32))
    assert inputs["y"].tolist() == [[7, 7, 7]]
    assert list(found) == ["y"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def create():\n    return 'model.onnx'", "returned a str, not an ONNX model"),
        ("def create():\n    raise KeyError('w')", "raised KeyError: 'w' (surgery.py:2)"),
        ("def make():\n    pass", "surgery.py has no 'create'"),
        (
            "import onnx\n\ndef create():\n    return onnx.ModelProto()",
            "what surgery.py:create returned cannot be loaded",
        ),
    ],
)
def test_a_callable_that_makes_no_model(make_model, code, said):
    with pytest.raises(SourceError) as caught:
        load_source(make_model("source: {onnx: 'surgery.py:create'}\n", surgery=code))
    assert said in caught.value.message
    assert caught.value.remedy


def test_a_callable_that_is_not_there(make_model):
    with pytest.raises(SpecError) as caught:
        make_model("source: {onnx: 'surgery.py:create'}\n")
    (problem,) = caught.value.problems
    assert problem.key == "source.onnx"
    assert "there is no file 'surgery.py'" in problem.found
