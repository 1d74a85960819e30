from __future__ import annotations

import json
import re

import pytest
from test_model_spec import EVERYTHING

from nosbuild.spec import ModelSpec, json_schema
from nosbuild.spec.yaml_source import read_yaml


@pytest.fixture
def everything(tmp_path):
    file = tmp_path / "model.yaml"
    file.write_text(EVERYTHING)
    return read_yaml(file).data


def test_describes_every_key_and_no_other():
    schema = json_schema()
    assert set(schema["properties"]) == set(ModelSpec.model_fields)
    assert schema["required"] == ["name", "source"]
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


def test_no_key_may_be_null():
    assert '"null"' not in json.dumps(json_schema())


def test_every_reference_leads_somewhere():
    schema = json_schema()
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)))
    assert references == {"Batching", "Instances", "Queue", "Sequence"} == set(schema["$defs"])


def test_patterns_tell_good_from_bad():
    properties = json_schema()["properties"]
    tensor = properties["inputs"]["additionalProperties"]["oneOf"][0]["pattern"]
    dims = properties["dims"]["additionalProperties"]["oneOf"][0]["pattern"]
    good = [
        (tensor, "int64[batch, seq]"),
        (tensor, "float32[]"),
        (dims, "1..8"),
        (dims, "32..64 step 32"),
    ]
    bad = [(tensor, "int[batch]"), (tensor, "float32"), (dims, "1...8"), (dims, "a..b")]
    assert all(re.search(pattern, text) for pattern, text in good)
    assert not any(re.search(pattern, text) for pattern, text in bad)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"batching": False},
        {"instances": 2},
        {"source": {"onnx": "model.onnx"}},
        {"objective": "latency"},
        {"max_execution_seconds": 0.5},
        {"version_policy": "all"},
        {"precision": "auto"},
        {"state": {"h": "hN"}, "sequence": {"strategy": "oldest"}},
    ],
)
def test_validates_good_specs(change, everything):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate({**everything, **change}, json_schema())


PYTHON = {"name": "m", "source": {"python": "model.py:Summary"}}
PIPELINE = {
    "name": "m",
    "source": {"pipeline": [{"model": "a", "in": {"x": "text"}, "out": {"y": "ids"}}]},
    "outputs": {"ids": "ids"},
}


@pytest.mark.parametrize(
    "spec",
    [
        PYTHON,
        {
            **PYTHON,
            "requirements": ["six>=1.0"],
            "python": "3.11",
            "methods": ["a"],
            "pad": {"x": 0},
            "max_execution_seconds": 60,
        },
        {**PYTHON, "requirements": "requirements.txt", "outputs": {"y": "float32[n]"}},
        PIPELINE,
    ],
)
def test_validates_classes_and_pipelines(spec):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(spec, json_schema())


@pytest.mark.parametrize(
    "spec",
    [
        {**PYTHON, "python": "3.13"},
        {**PYTHON, "python": 3.11},
        {**PYTHON, "precision": "fp32"},
        {**PYTHON, "requirements": ["-r x"]},
        {**PYTHON, "outputs": {"y": "y"}},
        {**PYTHON, "state": {"h": "hN"}},
        {**PIPELINE, "instances": 2},
        {**PIPELINE, "max_execution_seconds": 2},
        {**PIPELINE, "outputs": {"ids": 3}},
        {**PIPELINE, "source": {"pipeline": [{"model": "a", "in": {"x": "text"}}]}},
    ],
)
def test_refuses_bad_classes_and_pipelines(spec):
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, json_schema())


@pytest.mark.parametrize(
    "change",
    [
        {"input": {}},
        {"source": {"torch": "model.py:create", "onnx": "x"}},
        {"dims": {"seq": "1...8"}},
        {"precision": "fp8"},
        {"quality": {"cosine": 2}},
        {"batching": {"max_delay": 1}},
        {"methods": ["__call__"]},
        {"max_execution_seconds": 0},
        {"max_execution_seconds": "30"},
        {"sequence": {"max_sequences": 0}},
    ],
)
def test_refuses_bad_specs(change, everything):
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**everything, **change}, json_schema())
