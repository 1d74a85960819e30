"""Python classes as models: what a spec says of them, and what is left to the class itself."""

from __future__ import annotations

import json

import pytest
from bad_python_specs import CALLER, PYTHON

from nosbuild.errors import SpecError
from nosbuild.spec import DimRange, Sequence
from nosbuild.tensors import DTYPES, TensorSpec

EVERYTHING = """\
name: m
source: {python: "model.py:Summary", init: {sentences: 2}}
requirements:
  - nltk>=3.9
  - numpy>=1.26
  - six @ https://example.org/six.whl
  - numpy>=2; python_version < '3'
python: "3.11"
system_site: true
methods: [__call__, stream]
inputs: {text: "string[words]"}
outputs: {output: "string[]"}
dims: {batch: 1..4..16, words: 1..64}
pad: {text: ""}
sequence: {strategy: direct, idle_timeout_us: 5000000}
quality: {output: {agreement: 1}, other: {cosine: 0.9}}
"""


def test_every_key(load):
    spec = load(EVERYTHING)
    assert (spec.source.kind, spec.source.reference) == ("python", "model.py:Summary")
    assert spec.source.init == {"sentences": 2}
    assert len(spec.requirements) == 4
    assert (spec.python, spec.system_site) == ("3.11", True)
    assert spec.methods == ("__call__", "stream")
    assert spec.pad == {"text": ""}
    assert spec.sequence == Sequence(strategy="direct", idle_timeout_us=5_000_000)
    assert load(CALLER).models == ("other",)


def test_defaults(load):
    spec = load(PYTHON)
    assert (spec.requirements, spec.python, spec.system_site) == ((), None, False)
    assert (spec.methods, spec.models, spec.pad) == (("__call__",), (), {})
    assert (spec.state, spec.sequence) == ({}, None)
    assert Sequence() == Sequence(strategy="oldest", max_sequences=64, idle_timeout_us=1_000_000)


def test_section_is_json_and_reads_back_the_same(load):
    spec = load(EVERYTHING)
    dump = spec.section(*spec.model_fields_set)
    assert load(json.dumps(dump)) == spec


def test_what_only_python_models_have_is_in_no_other_digest(load):
    own = ("requirements", "python", "system_site", "methods", "models", "pad", "state", "sequence")
    assert load("name: m\nsource: {huggingface: org/m}\n").section(*own) == {}
    assert load(PYTHON).section(*own) == {}
    assert load(PYTHON + "methods: [stream]\n").section(*own) == {"methods": ["stream"]}


def test_requirements_of_a_file(load):
    spec = load(PYTHON + "requirements: requirements.txt\n")
    assert spec.requirements == ("nltk>=3.9", "idna", "six == 1.16.0")
    assert spec == load(PYTHON + "requirements: [nltk>=3.9, idna, 'six == 1.16.0']\n")


@pytest.mark.parametrize(
    ("reference", "keys"),
    [
        ("summaries.text:Summary", "methods: [anything]"),  # in its own environment alone
        ("model.py:Imported", "methods: [anything]"),
        ("model.py:Child", "methods: [inherited]"),
        ("model.py:Child", "methods: [alias]"),
        ("model.py:Outer.Inner", "pad: {text: 0}"),
        ("model.py:Fallback", "pad: {text: 0}"),  # a dataclass: its fields are arguments
        ("model.py:Summary", "methods: [read]\npad: {first_image: 0}"),  # **images
        ("model.py:Summary", "methods: [stream]\npad: {words: 0}"),  # what it returns is not said
    ],
)
def test_what_the_text_does_not_tell_is_not_judged(load, reference, keys):
    load(f'name: m\nsource: {{python: "{reference}", init: {{}}}}\n{keys}\n')


def test_syntax_of_a_newer_python_is_not_judged(load):
    newer = PYTHON.replace("model.py", "broken.py")
    with pytest.raises(SpecError, match=r"broken\.py:2 is no Python"):
        load(newer)
    with pytest.raises(SpecError) as raised:
        load(newer + 'python: "3.99"\n')
    assert [problem.key for problem in raised.value.problems] == ["python"]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("float32[n]", ".inf"),
        ("float32[n]", "0"),
        ("int64[batch, n]", "-1"),
        ("uint8[n]", "255"),
        ("bool[n]", "false"),
        ("string[n]", '"-"'),
    ],
)
def test_padding_of_each_type(load, declared, value):
    load(f"{PYTHON}inputs: {{text: '{declared}'}}\npad: {{text: {value}}}\n")
    load(f"{PYTHON}outputs: {{short: '{declared}'}}\npad: {{short: {value}}}\n")
    # An output of one shape needs none, whatever the input of its name is filled up with.
    same = f"inputs: {{text: '{declared}'}}\noutputs: {{text: 'int64[batch, 2]'}}"
    load(f"{PYTHON}{same}\npad: {{text: {value}}}\n")


class TestTensors:
    """What is declared are arguments of methods; what Triton has is told by the class."""

    text = TensorSpec("text", DTYPES["string"], ("batch",))
    row = TensorSpec("row", DTYPES["float32"], ("batch", "width"))
    result = TensorSpec("output", DTYPES["float32"], ("batch", "width"))

    def test_declared_arguments_are_those_of_one_item_or_of_several_methods(self, load):
        spec = load(
            PYTHON + "methods: [__call__, stream]\n"
            "inputs: {text: 'string[n]', size: 'int64[batch]'}\noutputs: {output: 'float32[m]'}\n"
            "dims: {batch: 1..16, of_the_class: 4}\nbatching: {preferred: [16]}\n"
        )
        assert (spec.is_batched, spec.dim_range("batch").max) == (None, 16)

    def test_told_by_the_class(self, load):
        spec = load(PYTHON + "dims: {batch: 1..16}\n").with_tensors((self.row,), (self.result,))
        assert (spec.is_batched, spec.max_batch_size) == (True, 16)
        assert spec.dims == {"batch": DimRange(1, 4, 16)}  # no range for width
        unbatched = TensorSpec("text", DTYPES["string"], ())
        assert load(PYTHON).with_tensors((unbatched,), (unbatched,)).max_batch_size == 0

    def test_the_told_tensors_are_checked(self, load):
        spec = load(PYTHON + "dims: {batch: 1..16, wdth: 4}\nquality: {outptu: {cosine: 1}}\n")
        with pytest.raises(SpecError) as raised:
            spec.with_tensors((self.row,), (self.result,))
        assert [(problem.line, problem.key) for problem in raised.value.problems] == [
            (3, "dims.wdth"),
            (4, "quality.outptu"),
        ]

    def test_each_of_several_methods_has_its_own(self, load):
        spec = load(
            PYTHON + "methods: [__call__, stream]\ndims: {batch: 1..16, width: 4, size: 8}\n"
            "quality: {output: {cosine: 0.9}, chunk: {agreement: 1}}\n"
        )
        first = spec.with_tensors((self.row,), (self.result,))
        assert first.dims == {"batch": DimRange(1, 4, 16), "width": DimRange(4, 4, 4)}
        second = spec.with_tensors(
            (self.text,), (TensorSpec("chunk", DTYPES["string"], ("batch",)),)
        )
        assert second.dims == {"batch": DimRange(1, 4, 16)}
