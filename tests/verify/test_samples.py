"""Samples: what a sample function may yield, and what is said when it is wrong."""

import numpy as np
import pytest

from nosbuild.errors import SampleError
from nosbuild.source.load import load_source
from nosbuild.verify.golden import read_golden, write_golden
from nosbuild.verify.samples import MOST_ITEMS, batches, load_samples

BODY = "def forward(self, x):\n    return x * 1"


@pytest.fixture
def samples_of(torch_model):
    def load(code, declared="float32[batch, 3]", more=""):
        spec = torch_model(
            BODY,
            f"{{x: '{declared}'}}",
            f"{{y: '{declared}'}}",
            f"samples: 'samples.py:samples'\n{more}",
            samples=f"import numpy as np\nimport torch\n\n{code}\n",
        )
        source, spec = load_source(spec)
        return load_samples(spec, source.inputs)

    return load


def returning(item):
    return f"def samples():\n    return [{item}]"


@pytest.mark.parametrize(
    "code",
    [
        returning("{'x': np.ones(3, np.float32)}"),
        returning("{'x': torch.ones(3)}"),
        "def samples():\n    yield {'x': np.ones(3, np.float32)}",
        "samples = {'x': np.ones(3, np.float32)}, {'x': np.ones(3, np.float32)}\n"
        "samples = samples.__iter__",
    ],
)
def test_lists_generators_and_tensors(samples_of, code):
    samples = samples_of(code)
    assert samples.real
    np.testing.assert_array_equal(samples.items[0]["x"], [1, 1, 1])


def test_an_endless_generator_is_cut(samples_of):
    code = "def samples():\n    while True:\n        yield {'x': np.ones(3, np.float32)}"
    assert len(samples_of(code).items) == MOST_ITEMS


WRONG = {
    "no names": (returning("{}"), "item 0 holds nothing, the inputs are x"),
    "other names": (returning("{'z': 1}"), "item 0 holds z, the inputs are x"),
    "more names": (returning("{'x': 1, 'z': 1}"), "item 0 holds x, z, the inputs are x"),
    "no dict": (returning("np.ones(3)"), "item 0 holds ndarray, the inputs are x"),
    "a bare dict": ("def samples():\n    return {'x': 1}", "the sample function returned a dict"),
    "nothing": ("def samples():\n    pass", "the sample function returned a NoneType"),
    "empty": ("def samples():\n    return []", "yielded no sample"),
    "batch axis": (
        returning("{'x': np.ones((1, 3), np.float32)}"),
        "x has shape [1, 3], expected [3] (1 axes)",
    ),
    "another size": (
        returning("{'x': np.ones(4, np.float32)}"),
        "x has shape [4], expected [3] (axis 0 is 3)",
    ),
    "another dtype": (returning("{'x': np.ones(3)}"), "x is float64, declared is float32"),
    "ragged": (returning("{'x': [[1], [1, 2]]}"), "x is a list that is no array"),
    "with gradients": (
        returning("{'x': torch.ones(3, requires_grad=True)}"),
        "x is a Tensor that is no array",
    ),
    "raising": (
        "def samples():\n    yield {'x': np.ones(3, np.float32)}\n    raise OSError('gone')",
        "samples: samples.py:samples raised OSError: gone (samples.py:6)",
    ),
    "missing": ("def other(): ...", "samples.py has no 'samples'"),
    "broken file": ("1 / 0", "samples.py could not be imported: ZeroDivisionError"),
}


@pytest.mark.parametrize(("code", "said"), WRONG.values(), ids=WRONG)
def test_wrong_samples(samples_of, code, said):
    with pytest.raises(SampleError) as caught:
        samples_of(code)
    assert said in caught.value.message
    assert caught.value.remedy


def test_the_batch_axis_by_mistake_is_explained(samples_of):
    with pytest.raises(SampleError) as caught:
        samples_of(returning("{'x': np.ones((1, 3), np.float32)}"))
    assert caught.value.remedy == "A sample is one item, without the batch axis."


@pytest.mark.parametrize(
    ("dims", "size", "said"),
    [
        ("2..4..8", 9, "x has seq=9, but dims.seq is 2..4..8"),
        ("2..4..8", 1, "x has seq=1, but dims.seq is 2..4..8"),
        ("2..4..8 step 2", 3, "x has seq=3, but dims.seq is 2..4..8 step 2"),
    ],
)
def test_sizes_out_of_dims(samples_of, dims, size, said):
    code = returning(f"{{'x': np.ones({size}, np.float32)}}")
    with pytest.raises(SampleError) as caught:
        samples_of(code, "float32[batch, seq]", f"dims: {{seq: {dims}}}")
    assert said in caught.value.message


def test_inputs_that_disagree_on_an_axis(torch_model):
    spec = torch_model(
        "def forward(self, a, b):\n    return a + b",
        "{a: 'float32[batch, seq]', b: 'float32[batch, seq]'}",
        "{y: 'float32[batch, seq]'}",
        "dims: {seq: 1..8}\nsamples: 'samples.py:samples'",
        samples="import numpy as np\ndef samples():\n"
        "    yield {'a': np.ones(3, np.float32), 'b': np.ones(4, np.float32)}\n",
    )
    source, spec = load_source(spec)
    with pytest.raises(SampleError, match="b has seq=4, another input has seq=3"):
        load_samples(spec, source.inputs)


def test_a_scalar_item_keeps_its_shape(samples_of):
    samples = samples_of(returning("{'x': np.float32(2)}"), "float32[batch]")
    assert samples.items[0]["x"].shape == ()
    (batch,) = batches(samples.items, 4, every_shape=True)
    assert batch.inputs["x"].shape == (4,)


def test_batches_hold_every_item_and_repeat_only_to_fill(samples_of):
    code = (
        "def samples():\n"
        "    for index, size in enumerate([3, 5, 3, 3, 5]):\n"
        "        yield {'x': np.full(size, index, np.float32)}"
    )
    samples = samples_of(code, "float32[batch, seq]", "dims: {seq: 1..8}")
    made = list(batches(samples.items, 2, every_shape=True))
    assert [batch.indices for batch in made] == [(0, 2), (3, 0), (1, 4)]
    for batch in made:
        for row, index in enumerate(batch.indices):
            np.testing.assert_array_equal(batch.inputs["x"][row], samples.items[index]["x"])


def test_golden_samples_come_back_as_they_were(tmp_path):
    item = {
        "text": np.array(["ü", ""], dtype=object),
        "word": np.array("one", dtype=object),
        "ids": np.arange(3),
        "x": np.float16([[1.5, np.nan]]),
        "flag": np.array(True),
    }
    answer = {"in.y": np.zeros((2, 0), np.float32), "y": np.array("label", dtype=object)}
    write_golden(tmp_path / "golden", [item, item], [answer, answer])
    first, second = read_golden(tmp_path / "golden")
    for sample in (first, second):
        for kept, given in ((sample.inputs, item), (sample.outputs, answer)):
            assert set(kept) == set(given)
            for name, array in given.items():
                assert kept[name].dtype == array.dtype
                np.testing.assert_array_equal(kept[name], array)
    assert read_golden(tmp_path / "nowhere") == []
