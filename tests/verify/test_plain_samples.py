"""Samples of Python classes: plain values by the arguments' names; and how they are kept."""

from dataclasses import replace

import numpy as np
import pytest

from nosbuild.errors import SampleError
from nosbuild.tensors import TensorSpec
from nosbuild.verify.golden import read_golden, write_golden
from nosbuild.verify.samples import load_samples

CODE = "class Model:\n    def __call__(self, text: str, data: bytes, x: float, top: int = 1): ...\n"
INPUTS = (
    TensorSpec.parse("text", "string[batch]"),
    TensorSpec.parse("data", "string[batch]"),
    TensorSpec.parse("x", "float32[batch]"),
    replace(TensorSpec.parse("top", "int64[batch, n]"), optional=True),
)


@pytest.fixture
def items_of(make_model):
    def load(*lines, elsewhere=(), inputs=INPUTS):
        code = "import numpy as np\nfrom PIL import Image\n\ndef samples():\n"
        yaml = 'source: {python: "model.py:Model"}\nsamples: "samples.py:samples"\n'
        body = "".join(f"    yield {line}\n" for line in lines)
        spec = make_model(yaml, model=CODE, samples=code + body)
        return load_samples(spec, inputs, elsewhere).items

    return load


def test_plain_values_bytes_and_lists(items_of):
    (item,) = items_of("{'text': 'größe', 'data': b'\\xff\\0', 'x': 3, 'top': [1, 2]}")
    assert (item["text"].item(), item["data"].item()) == ("größe", b"\xff\0")
    assert (item["x"].dtype, item["x"].shape, item["x"].item()) == (np.float32, (), 3)
    np.testing.assert_array_equal(item["top"], np.array([1, 2], np.int64))


def test_what_is_optional_may_be_left_out_item_by_item(items_of):
    first = "{'text': 'a', 'data': b'a', 'x': 0.5}"
    items = items_of(first, first.replace("}", ", 'top': [7]}"))
    assert [sorted(item) for item in items] == [
        ["data", "text", "x"],
        ["data", "text", "top", "x"],
    ]


def test_an_image_is_sent_as_a_file(items_of):
    image = "Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))"
    (item,) = items_of(f"{{'text': '', 'data': {image}, 'x': 0}}")
    assert item["data"].item().startswith(b"\x89PNG")


def test_items_of_other_methods_are_passed_over(items_of):
    mine = "{'text': 'a', 'data': b'b', 'x': 1, 'number': 3}"
    items = items_of("{'number': 3}", mine, elsewhere=("number",))
    assert [sorted(item) for item in items] == [["data", "text", "x"]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'text': 'a', 'data': b'a'}", "item 0 holds text, data, the inputs are text, data, x"),
        ("{'text': 'a', 'data': b'a', 'x': 1, 'z': 1}", "item 0 holds text, data, x, z"),
        ("{'text': 1, 'data': b'a', 'x': 1}", "text holds int, declared is string"),
        ("{'text': 'a', 'data': b'a', 'x': 'one'}", "x is <U3, declared is float32"),
        ("{'text': 'a', 'data': b'a', 'x': np.ones(())}", "x is float64, declared is float32"),
        ("{'text': ['a'], 'data': b'a', 'x': 1}", "text has shape [1], expected []"),
    ],
)
def test_wrong_items(items_of, line, said):
    with pytest.raises(SampleError) as caught:
        items_of(line)
    assert said in caught.value.message
    assert caught.value.remedy


def test_axes_without_a_range_are_not_drawn(make_model):
    spec = make_model('source: {python: "model.py:Model"}', model=CODE)
    with pytest.raises(
        SampleError, match="nothing tells how long the axis 'n' of ids is"
    ) as caught:
        load_samples(spec, (TensorSpec.parse("ids", "int64[batch, n]"),))
    assert "dims: {n: 1..32..256}" in caught.value.remedy
    drawn = load_samples(spec, INPUTS).items
    assert sorted(drawn[0]) == ["data", "text", "x"]


def test_bytes_and_streams_are_kept_as_they_are(tmp_path):
    data = np.array([b"\xff\0\0", b"", b"abc"], dtype=object)
    chunks = [{"y": np.float32(1)}, {"y": np.arange(3.0)}, {"y": data}]
    write_golden(tmp_path, [{"in": data}, {"in": data}], [{"out": data}, chunks])
    plain, stream = read_golden(tmp_path)
    for found in (plain.inputs["in"], plain.outputs["out"], stream.chunks[2]["y"]):
        assert found.tolist() == data.tolist()
    assert plain.chunks is None
    assert [chunk["y"].shape for chunk in stream.chunks] == [(), (3,), (3,)]
    write_golden(tmp_path, [{"in": data}], [[]])
    assert read_golden(tmp_path)[0].chunks == ()
