"""Pipelines and models that keep a state: what good specs say."""

from __future__ import annotations

import json

import pytest
from bad_pipeline_specs import PIPELINE
from bad_stateful_specs import STATEFUL

from nosbuild.errors import SpecError
from nosbuild.spec import PipelineStep, Sequence
from nosbuild.tensors import DTYPES, TensorSpec

FORKED = """\
name: m
source:
  pipeline:
    - {model: c, in: {left: u, right: v, scale: scale}, out: {z: sum}}
    - {model: b, in: {x: image}, out: {y: v}}
    - {model: a, in: {x: image}, out: {y: u, unused: rest}}
    - {model: a, in: {x: sum}, out: {y: again}}
outputs: {total: again, left: u}
"""


def test_steps_and_results(load):
    spec = load(FORKED)
    assert spec.source.steps[1:3] == (
        PipelineStep("b", {"x": "image"}, {"y": "v"}),
        PipelineStep("a", {"x": "image"}, {"y": "u", "unused": "rest"}),
    )
    assert spec.source.inputs == ("scale", "image")
    assert spec.source.results == {"total": "again", "left": "u"}
    assert (spec.inputs, spec.outputs, spec.is_batched) == (None, None, None)


def test_read_back_the_same_from_its_section(load):
    spec = load(FORKED + "quality: {total: {cosine: 0.99}}\n")
    dump = spec.section("name", "source", "quality")
    assert load(json.dumps(dump)) == spec
    assert load(FORKED.replace("left: u}\n", "left: v}\n")).section("source") != dump["source"]


def test_declared_inputs_may_say_what_the_values_are(load):
    spec = load(PIPELINE + "inputs: {text: {tensor: 'int64[batch, n]', range: [0, 9]}}\n")
    assert spec.inputs == {"text": TensorSpec("text", DTYPES["int64"], ("batch", "n"), (0, 9))}
    assert spec.is_batched is None


def test_tensors_told_by_the_models(load):
    text = TensorSpec("text", DTYPES["int64"], ("batch", "n"))
    vector = TensorSpec("vector", DTYPES["float32"], ("batch", 4))
    spec = load(PIPELINE + "dims: {batch: 1..8}\nquality: {vector: {cosine: 0.99}}\n")
    told = spec.with_tensors((text,), (vector,))
    assert (told.is_batched, told.max_batch_size) == (True, 8)
    assert told.source.results == {"vector": "vector"}
    exact = load(PIPELINE + "quality: {vector: {agreement: 1}}\n")
    with pytest.raises(SpecError, match=r"does not suit vector, which is float32"):
        exact.with_tensors((text,), (vector,))


def test_a_state_comes_back(load):
    spec = load(STATEFUL + "state: {h: hN}\n")
    assert (spec.state, spec.sequence) == ({"h": "hN"}, None)
    spec = load(STATEFUL + "state: {h: hN}\nsequence: {max_sequences: 8}\nbatching: false\n")
    assert spec.sequence == Sequence(max_sequences=8)
    assert load(STATEFUL).section("state") == {}
    assert spec.section("state", "sequence") == {
        "state": {"h": "hN"},
        "sequence": {"strategy": "oldest", "max_sequences": 8, "idle_timeout_us": 1_000_000},
    }


def test_a_state_that_the_file_tells(load, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "vad.onnx").touch()
    spec = load("name: m\nsource: {onnx: vad.onnx}\nstate: {h: hN}\n")
    chunk = TensorSpec("chunk", DTYPES["float32"], ("batch", 512))
    before = TensorSpec("h", DTYPES["float32"], ("batch", 8))
    after = TensorSpec("hN", DTYPES["float32"], ("batch", 8))
    assert spec.with_tensors((chunk, before), (chunk, after)).state == {"h": "hN"}
    wider = TensorSpec("hN", DTYPES["float32"], ("batch", 16))
    with pytest.raises(SpecError, match=r"outputs\.hN is float32\[batch, 16\]"):
        spec.with_tensors((chunk, before), (chunk, wider))
