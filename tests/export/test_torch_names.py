"""Names: the declared ones come out, whatever the exporter calls its own values."""

import numpy as np
import onnx
import pytest

from nosbuild.errors import SourceError
from nosbuild.source.load import load_source


def inner_names(folder):
    graph = onnx.load(folder / "model.onnx").graph
    return {name for node in graph.node for name in node.output} | {
        tensor.name for tensor in graph.initializer
    }


TWO_STEPS = """
def __init__(self):
    super().__init__()
    self.weight = nn.Parameter(torch.ones(3))
def forward(self, x):
    h = torch.relu(x * self.weight)
    return torch.sigmoid(h)
"""


def test_an_output_may_bear_the_name_of_any_inner_value(torch_model, export, tmp_path):
    export(torch_model(TWO_STEPS))
    clashes = sorted(inner_names(tmp_path / "out") - {"y"})
    assert len(clashes) >= 3  # relu, mul, the weight: otherwise this test shows nothing
    for index, clash in enumerate(clashes):
        spec = torch_model(TWO_STEPS, outputs=f"{{{clash}: 'float32[batch, 3]'}}", name=f"m{index}")
        exported = export(spec)
        assert list(exported.outputs) == [clash]
        exported.agrees_at(batch=5)


@pytest.mark.parametrize("clash", ["relu", "mul", "weight", "module.weight", "sigmoid"])
def test_an_input_may_bear_the_name_of_an_inner_value(torch_model, export, clash):
    exported = export(torch_model(TWO_STEPS, inputs=f"{{{clash}: 'float32[batch, 3]'}}"))
    assert list(exported.inputs) == [clash]
    exported.agrees_at(batch=3)


def test_input_and_output_names_may_be_each_others_inside(torch_model, export):
    body = "def forward(self, a, b):\n    return a + 1, b * 2"
    two = "{%s: 'float32[batch, 3]', %s: 'float32[batch, 3]'}"
    exported = export(torch_model(body, two % ("add", "mul"), two % ("a", "b")))
    assert list(exported.inputs) == ["add", "mul"]
    exported.agrees_at(batch=4)


SUBTRACT = "def forward(self, left, right):\n    return left - right"
ONE, TWO = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)


def test_inputs_declared_in_another_order_than_the_parameters(torch_model, export):
    inputs = "{right: 'float32[batch, 3]', left: 'float32[batch, 3]'}"
    exported = export(torch_model(SUBTRACT, inputs))
    assert list(exported.inputs) == ["right", "left"]
    np.testing.assert_array_equal(exported.run(left=TWO, right=ONE)["y"], ONE)


def test_inputs_of_other_names_go_by_position(torch_model, export):
    inputs = "{minuend: 'float32[batch, 3]', subtrahend: 'float32[batch, 3]'}"
    exported = export(torch_model(SUBTRACT, inputs))
    np.testing.assert_array_equal(exported.run(minuend=TWO, subtrahend=ONE)["y"], ONE)


@pytest.mark.parametrize(
    "signature", ["left, right, /", "*both", "left, right=None", "left, *, right", "**named"]
)
def test_every_kind_of_parameter(torch_model, signature):
    unpack = {"*both": "left, right = both", "**named": "left, right = named.values()"}
    body = f"def forward(self, {signature}):\n    {unpack.get(signature, 'pass')}\n"
    inputs = "{left: 'float32[batch, 3]', right: 'float32[batch, 3]'}"
    source, _ = load_source(torch_model(body + "    return left - right", inputs))
    np.testing.assert_array_equal(source.run({"left": TWO, "right": ONE})["y"], ONE)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{left: 'float32[batch, 3]'}", "also needs right"),
        ("{left: 'float32[batch, 3]', rihgt: 'float32[batch, 3]'}", "input rihgt is no parameter"),
        ("{a: 'float32[batch, 3]'}", "the spec declares 1 inputs (a), but Net.forward(left, right"),
    ],
)
def test_inputs_that_forward_cannot_take(torch_model, export, inputs, said):
    with pytest.raises(SourceError) as caught:
        export(torch_model(SUBTRACT, inputs))
    assert said in caught.value.message
    assert caught.value.remedy


def test_strings_are_not_for_torch(torch_model, export):
    with pytest.raises(SourceError, match=r"x is string\[batch\], but torch has no strings"):
        export(torch_model("def forward(self, x):\n    return x", "{x: 'string[batch]'}"))


def test_bfloat16_is_refused_with_the_remedy(torch_model, export):
    spec = torch_model("def forward(self, x):\n    return x", "{x: 'bfloat16[batch, 3]'}")
    with pytest.raises(SourceError, match="Cast inputs and outputs to float32"):
        export(spec)
