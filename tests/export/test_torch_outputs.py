"""Outputs: every container a module may return, and every way to declare it wrongly."""

import numpy as np
import pytest

from nosbuild.errors import ExportError, SourceError
from nosbuild.source.load import load_source

TWO = "{a: 'float32[batch, 3]', b: 'float32[batch, 3]'}"


def test_an_output_that_is_an_input_itself(torch_model, export):
    exported = export(torch_model("def forward(self, x):\n    return x, x + 1", outputs=TWO))
    exported.agrees_at(batch=3)


def test_the_same_tensor_twice(torch_model, export):
    body = "def forward(self, x):\n    y = x * 2\n    return y, y"
    found = export(torch_model(body, outputs=TWO)).agrees_at(batch=3)
    np.testing.assert_array_equal(found["a"], found["b"])


def test_an_output_that_is_a_constant(torch_model, export):
    body = """
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor([2.0, 3.0]))
    def forward(self, x):
        return x, self.scale
    """
    spec = torch_model(
        body,
        "{x: 'float32[n, 3]'}",
        "{y: 'float32[n, 3]', scale: 'float32[2]'}",
        "dims: {n: 1..4}",
    )
    export(spec).agrees_at(n=3)


RESULTS = {
    "tuple": "return a, b",
    "list": "return [a, b]",
    "dict in another order": "return {'b': b, 'a': a}",
    "dict with more": "return {'c': x, 'b': b, 'a': a}",
    "NamedTuple in another order": "return Pair(b=b, a=a)",
    "ModelOutput": "return Output(b=b, a=a)",
}


@pytest.mark.parametrize("returned", RESULTS.values(), ids=RESULTS)
def test_containers(torch_model, export, returned):
    spec = torch_model(
        f"def forward(self, x):\n    a, b = x + 1, x * 2\n    {returned}",
        outputs=TWO,
        extra="""
        from dataclasses import dataclass
        from typing import Any, NamedTuple
        from transformers.utils import ModelOutput
        class Pair(NamedTuple):
            b: Any
            a: Any
        @dataclass
        class Output(ModelOutput):
            b: Any = None
            a: Any = None
        """,
    )
    file = spec.folder / "model.py"
    file.write_text("from extra import Output, Pair\n" + file.read_text())
    x = np.full((2, 3), 5, np.float32)
    source, _ = load_source(spec)
    runs = [source.run({"x": x})]
    if "(" in returned:  # those that tracing has to take apart as well
        runs.append(export(spec).run(x=x))
    for found in runs:
        np.testing.assert_array_equal(found["a"], x + 1)
        np.testing.assert_array_equal(found["b"], x * 2)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("x, x, x", "the model returned 3 outputs, the spec declares 2 (a, b)"),
        ("x", "the model returned 1 outputs, the spec declares 2 (a, b)"),
        ("{'a': x, 'c': x}", "the model returned a, c, not b"),
        ("x, 3.0", "output b is a float, not a tensor"),
        ("'text'", "the model returned a str"),
        ("None", "the model returned a NoneType"),
    ],
)
def test_other_outputs_than_declared(torch_model, export, returned, said):
    with pytest.raises(SourceError) as caught:
        export(torch_model(f"def forward(self, x):\n    return {returned}", outputs=TWO))
    assert said in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("declared", "gives"),
    [
        ("float32[batch, 4]", "the model gives y: float32[3, 3] at batch=3"),
        ("float32[batch, 3, 1]", "the model gives y: float32[3, 3] at batch=3"),
        ("float32[batch]", "the model gives y: float32[3, 3] at batch=3"),
        ("float16[batch, 3]", "the model gives y: float32[3, 3] at batch=3"),
        ("int64[batch, 3]", "the model gives y: float32[3, 3] at batch=3"),
    ],
)
def test_another_shape_or_dtype_than_declared(torch_model, export, declared, gives):
    with pytest.raises(ExportError) as caught:
        export(torch_model("def forward(self, x):\n    return x", outputs=f"{{y: '{declared}'}}"))
    assert caught.value.message == f"{gives}, declared is {declared}"
    assert caught.value.remedy == "Correct outputs in the model.yaml."


def test_scalars_without_batch(torch_model, export):
    spec = torch_model(
        "def forward(self, x, s):\n    return (x * s).sum()",
        "{x: 'float32[n]', s: 'float32[]'}",
        "{total: 'float32[]'}",
        "dims: {n: 1..8}",
    )
    exported = export(spec)
    assert exported.outputs == {"total": []}
    assert exported.agrees_at(n=5)["total"].shape == ()


def test_one_number_for_each_item(torch_model, export):
    spec = torch_model(
        "def forward(self, x):\n    return x * 2", "{x: 'float32[batch]'}", "{y: 'float32[batch]'}"
    )
    assert export(spec).agrees_at(batch=6)["y"].shape == (6,)


def test_integers_and_booleans(torch_model, export):
    spec = torch_model(
        "def forward(self, ids, mask):\n    return torch.where(mask, ids, -ids), ~mask",
        "{ids: 'int32[batch, 4]', mask: 'bool[batch, 4]'}",
        "{signed: 'int32[batch, 4]', inverse: 'bool[batch, 4]'}",
    )
    export(spec).agrees_at(batch=3)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "int8", "int64"])
def test_dtypes_come_out_as_declared(torch_model, export, dtype):
    spec = torch_model(
        "def forward(self, x):\n    return x + x",
        f"{{x: '{dtype}[batch, 2]'}}",
        f"{{y: '{dtype}[batch, 2]'}}",
    )
    assert export(spec).agrees_at(batch=2)["y"].dtype == dtype


def test_an_unused_input_stays(torch_model, export):
    spec = torch_model(
        "def forward(self, x, mask):\n    return x + 1",
        "{x: 'float32[batch, 3]', mask: 'int64[batch, 3]'}",
    )
    exported = export(spec)
    assert list(exported.inputs) == ["x", "mask"]
    exported.agrees_at(batch=2)


def test_operators_without_an_onnx_form_are_told(torch_model, export):
    spec = torch_model("def forward(self, x):\n    return torch.special.bessel_j0(x)")
    with pytest.raises(ExportError, match=r"torch.onnx.export failed .*bessel_j0"):
        export(spec)


def test_the_same_source_gives_the_same_bytes(torch_model, export, tmp_path):
    body = """
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        return self.layer(x)
    """
    exports = []
    for _ in range(2):
        export(torch_model(body))
        exports.append((tmp_path / "out" / "model.onnx").read_bytes())
    assert exports[0] == exports[1]
