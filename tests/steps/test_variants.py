"""Variants that lose too much: rescued or refused, never published."""

import json

import pytest

from nosbuild.errors import RequestError
from nosbuild.export.run import export_onnx
from nosbuild.spec import load_spec
from nosbuild.steps import build
from nosbuild.steps.functions import prove, rescue
from nosbuild.verify.proof import Proof
from nosbuild.verify.references import collect_references

MODEL = """
import numpy as np
from sklearn.neural_network import MLPRegressor

def wide():
    '''One hidden channel is beyond what fp16 holds, and drowns the others in 8 bits.'''
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(64, 8)), draw.normal(size=64)
    net = MLPRegressor(hidden_layer_sizes=(16,), max_iter=200, random_state=0).fit(x, y)
    net.coefs_[0][:, 0] = 1e6
    net.coefs_[1][0, :] = 1e-9
    return net

def samples():
    draw = np.random.default_rng(1)
    return [{"features": np.abs(row)} for row in draw.normal(size=(24, 8)).astype(np.float32)]
"""

SPEC = """
name: wide
source: {sklearn: 'net.py:wide'}
samples: 'net.py:samples'
quality: {relative: 0.0005}
dims: {batch: 1..2..4}
precision: [fp16, int8]
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "wide"
    folder.mkdir()
    (folder / "net.py").write_text(MODEL)
    (folder / "model.yaml").write_text(SPEC)
    return folder


def test_what_misses_its_bar_is_never_published(wide):
    result = build(wide)
    rows = {row.name: row for row in result.variants}
    assert result.proof.passed
    assert rows[result.variant].verdict == "published"
    half = rows["onnx-fp16"]
    if half.verdict == "refused":
        assert "relative <= 0.0005" in half.reason
    else:  # it was the fastest in this run, and so worth a rescue
        assert "rescued: " in half.how
    assert half.speed is not None  # what was given up is told
    for row in result.variants:
        if row.verdict in ("proven", "published"):
            assert row.proof.passed, row.name
    page = (wide / "report.html").read_text()
    assert "onnx-fp16" in page
    report = json.loads((wide / "1" / "report.json").read_text())
    assert [row["name"] for row in report["variants"]] == list(rows)
    scripts = {path.name for path in (wide / "reproduce").iterdir()}
    assert {"export.sh", "references.sh", "prove-onnx-fp16.sh", "measure.sh"} <= scripts
    again = build(wide)
    assert all(step.cached for step in again.steps)


def test_fp16_is_rescued_where_a_value_is_too_large(wide, tmp_path):
    """In 16 bits the wide channel is infinite; some nodes in fp32 make the bar hold."""
    spec = load_spec(wide)
    export, answers, out = (tmp_path / name for name in ("export", "references", "out"))
    for folder in (export, answers, out):
        folder.mkdir()
    tensors = export_onnx(spec, export)
    collect_references(spec, answers)
    variant = {"name": "onnx-fp16", "runs_on": {}}
    made = rescue(spec, out, str(export), "fp16", variant, str(answers), tensors)
    kept = made["details"]["kept"]
    assert kept
    assert "kept in fp32" in made["how"] and "rescued: " in made["how"]
    half = {"keep": kept, "source": str(export)}
    (tmp_path / "proof").mkdir()
    found = prove(spec, tmp_path / "proof", str(out), variant, str(answers), tensors, half)
    proof = Proof.model_validate(found)
    assert proof.passed, proof.refusal()


@pytest.mark.parametrize("precision", ["fp64", "auto,fp32"])
def test_a_precision_that_is_none(wide, precision):
    with pytest.raises(RequestError, match="--precision: unknown precision"):
        build(wide, precision=precision)


def test_only_what_this_build_makes_can_be_trusted(wide):
    with pytest.raises(RequestError, match="makes no 'tensorrt-fp16'"):
        build(wide, trust_unproven="tensorrt-fp16")
    with pytest.raises(RequestError, match="makes no 'onnx-fp16'"):
        build(wide, trust_unproven="onnx-fp16")
