"""Good specs: every key of the format, its short forms, and what follows from them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
from bad_specs import HUB, TORCH

from nosbuild.errors import InternalError, SpecError
from nosbuild.spec import (
    Batching,
    CallableReference,
    DimRange,
    Instances,
    Objective,
    PackagePath,
    Queue,
    VersionPolicy,
)
from nosbuild.tensors import DTYPES, TensorSpec

EVERYTHING = """\
name: m
description: Says something.
source: {torch: "model.py:create", init: {width: 64, deep: {a: [1, null]}}}
inputs:
  ids: {tensor: "int64[batch, seq]", range: [0, 30521]}
  mask: int64[batch, seq]
outputs:
  embedding: float32[batch, 384]
  label: int64[batch]
  steps: float32[batch, time]
dims: {batch: 1..8..64, seq: 32..128 step 32}
samples: "samples.py:samples"
quality: {cosine: 0.99, rtol: 1e-3, embedding: {cosine: 0.999}, label: {"model.py:create": 0.5}}
precision: [fp32, int8]
objective: {throughput: {p99_ms: 20}}
batching:
  max_delay_us: 500
  preferred: [4, 64]
  preserve_ordering: true
  queue: {max_size: 10, timeout_us: 1000, action: delay, allow_timeout_override: true}
  priority_levels: 3
  default_priority: 2
instances: {count: 2, kind: gpu, gpus: [0, 1], threads: 4}
max_execution_seconds: 30
version_policy: {specific: [1, 3]}
response_cache: true
optimization: {graph: {level: 1}}
raw: {parameters: {a: {string_value: "b"}}}
build_requirements: ["some-package==1.0", "other[extra]>=2", "third @ https://example.org/x.whl"]
"""


def test_every_key(load, tmp_path):
    spec = load(EVERYTHING)
    assert (spec.name, spec.description) == ("m", "Says something.")
    assert (spec.source.kind, spec.source.reference) == ("torch", "model.py:create")
    assert spec.source.init == {"width": 64, "deep": {"a": [1, None]}}
    assert spec.input_tensors == (
        TensorSpec("ids", DTYPES["int64"], ("batch", "seq"), (0, 30521)),
        TensorSpec("mask", DTYPES["int64"], ("batch", "seq")),
    )
    assert [tensor.name for tensor in spec.output_tensors or ()] == ["embedding", "label", "steps"]
    assert spec.dims == {"batch": DimRange(1, 8, 64), "seq": DimRange(32, 64, 128, 32)}
    assert spec.samples == "samples.py:samples"
    assert spec.precision == ("fp32", "int8")
    assert spec.objective == Objective("throughput", 20)
    assert spec.batching == Batching(
        max_delay_us=500,
        preferred=(4, 64),
        preserve_ordering=True,
        queue=Queue(max_size=10, timeout_us=1000, action="delay", allow_timeout_override=True),
        priority_levels=3,
        default_priority=2,
    )
    assert spec.instances == Instances(count=2, kind="gpu", gpus=(0, 1), threads=4)
    assert spec.max_execution_seconds == 30
    assert spec.version_policy == VersionPolicy("specific", versions=(1, 3))
    assert spec.response_cache is True
    assert spec.optimization == {"graph": {"level": 1}}
    assert spec.raw == {"parameters": {"a": {"string_value": "b"}}}
    assert len(spec.build_requirements) == 3
    assert spec.is_batched is True
    assert spec.max_batch_size == 64
    assert spec.folder == tmp_path / "m"
    assert spec.file == tmp_path / "m" / "model.yaml"


def test_defaults(load):
    spec = load(HUB)
    assert (spec.inputs, spec.outputs, spec.samples, spec.batching) == (None, None, None, None)
    assert spec.precision == ("fp32",)
    assert spec.objective == Objective("throughput", None)
    assert spec.instances == Instances(count="auto", kind="auto", gpus=(), threads=None)
    assert spec.max_execution_seconds is None
    assert spec.version_policy == VersionPolicy("latest", 1)
    assert not spec.quality.declared
    assert spec.quality.bars_for("anything") == {"relative": 1e-3}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("objective: latency", "objective", Objective("latency")),
        ("precision: auto", "precision", "auto"),
        ("precision: int8", "precision", ("int8",)),
        ("batching: false", "batching", Batching(enabled=False)),
        ("batching: {}", "batching", Batching()),
        ("instances: auto", "instances", Instances()),
        ("instances: 2", "instances", Instances(count=2)),
        ("version_policy: all", "version_policy", VersionPolicy("all")),
        ("version_policy: {latest: 2}", "version_policy", VersionPolicy("latest", 2)),
        (
            "dims: {batch: 1..4, seq: 7}",
            "dims",
            {"batch": DimRange(1, 2, 4), "seq": DimRange(7, 7, 7)},
        ),
    ],
)
def test_short_forms(load, line, key, value):
    assert getattr(load(f"{HUB}{line}\n"), key) == value


@pytest.mark.parametrize(
    ("written", "sizes"),
    [
        (8, DimRange(8, 8, 8)),
        ("8", DimRange(8, 8, 8)),
        ("1..64", DimRange(1, 8, 64)),
        ("1 .. 8 .. 64", DimRange(1, 8, 64)),
        ("32..320..960 step 32", DimRange(32, 320, 960, 32)),
        ("32..960 step 32", DimRange(32, 160, 960, 32)),
    ],
)
def test_dim_ranges(written, sizes):
    assert DimRange.parse(written) == sizes
    assert DimRange.parse(str(sizes)) == sizes


def test_batch_has_a_default_where_it_is_used(load):
    spec = load(TORCH)
    assert spec.dims["batch"] == spec.dim_range("batch") == DimRange(1, 8, 32)
    assert spec.max_batch_size == 32
    unbatched = load(TORCH.replace("batch", "n").replace("dims: {", "dims: {n: 1..4, "))
    assert "batch" not in unbatched.dims
    assert (unbatched.is_batched, unbatched.max_batch_size) == (False, 0)


def test_bars_follow_the_output(load):
    quality = load(EVERYTHING).quality
    assert quality.declared
    assert quality.bars_for("embedding") == {"cosine": 0.999}
    assert quality.bars_for("steps", DTYPES["float32"]) == {"cosine": 0.99, "rtol": 1e-3}
    assert quality.bars_for("label", DTYPES["int64"]) == {"model.py:create": 0.5}
    assert quality.bars_for("other", DTYPES["string"]) == {"agreement": 1.0}


def test_agreement_for_all_is_for_what_is_not_float(load):
    quality = load(f"{HUB}quality: {{agreement: 0.9}}\n").quality
    assert quality.bars_for("label", DTYPES["int64"]) == {"agreement": 0.9}
    assert quality.bars_for("logits", DTYPES["float32"]) == {"relative": 1e-3}


def test_section_is_json_and_reads_back_the_same(load):
    spec = load(EVERYTHING)
    names = tuple(type(spec).model_fields)
    dump = spec.section(*names)
    assert set(dump) == {
        line.partition(":")[0] for line in EVERYTHING.splitlines() if line[0] != " "
    }
    assert load(json.dumps(dump)) == spec
    with pytest.raises(InternalError, match="no section colour"):
        spec.section("colour")


def test_what_only_some_have_changes_no_digest_of_the_others(load):
    assert load(HUB).section("instances", "max_execution_seconds").keys() == {"instances"}
    limited = load(f"{HUB}max_execution_seconds: 0.5\n")
    assert limited.section("max_execution_seconds") == {"max_execution_seconds": 0.5}


def test_equality_is_that_of_the_content(load):
    first, same = load(HUB), load(f"# a comment\n{HUB}")
    assert first == same
    assert first.text_sha256 != same.text_sha256
    assert first != load(f"{HUB}response_cache: true\n")


def test_pickled_for_a_child_process(load):
    spec = load(EVERYTHING)
    copy = pickle.loads(pickle.dumps(spec))
    assert copy == spec
    assert copy.file == spec.file


def test_frozen(load):
    with pytest.raises(ValueError, match="frozen"):
        load(HUB).name = "other"


class TestWithTensors:
    ids = TensorSpec("ids", DTYPES["int64"], ("batch", "seq"))
    embedding = TensorSpec("embedding", DTYPES["float32"], ("batch", 4))

    def test_known_afterwards(self, load):
        before = load(f"{HUB}dims: {{seq: 1..16}}\n")
        assert before.is_batched is None
        with pytest.raises(InternalError, match="not known yet"):
            _ = before.max_batch_size
        spec = before.with_tensors((self.ids,), (self.embedding,))
        assert (spec.input_tensors, spec.output_tensors) == ((self.ids,), (self.embedding,))
        assert (spec.is_batched, spec.max_batch_size) == (True, 32)
        assert spec.section("dims") == {"dims": {"batch": "1..8..32", "seq": "1..4..16"}}
        assert before.inputs is None
        assert spec.file == before.file

    def test_checked_like_declared_ones(self, load):
        spec = load(
            f"{HUB}dims: {{time: 4}}\nquality: {{label: {{agreement: 1}}}}\n"
            "batching: {preferred: [16]}\n"
        )
        with pytest.raises(SpecError) as raised:
            spec.with_tensors((self.ids,), (self.embedding,))
        found = [(problem.line, problem.key) for problem in raised.value.problems]
        assert found == [
            (3, "dims.seq"),
            (3, "dims.time"),
            (4, "quality.label"),
        ]
        unbatched = TensorSpec("x", DTYPES["float32"], (4,))
        with pytest.raises(SpecError, match=r"preferred\[0\]: 16, but the model has no batch axis"):
            spec.with_tensors((unbatched,), (unbatched,))


def test_numbers_are_those_of_yaml_1_2(load):
    spec = load(HUB + "raw: {a: 1e-3, b: 010, c: 1:30, d: 2026-01-01, e: 12}\n")
    assert spec.raw == {"a": 1e-3, "b": "010", "c": "1:30", "d": "2026-01-01", "e": 12}


def test_anchors_and_merge_keys(load):
    text = "raw:\n  a: &base {x: 1, y: 2}\n  b: {<<: *base, y: 3}\n"
    assert load(HUB + text).raw == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_file_with_a_byte_order_mark(load):
    assert load(b"\xef\xbb\xbf" + HUB.encode()).name == "m"


def test_references():
    assert CallableReference.parse("sub/model.py:A.create") == CallableReference(
        "sub/model.py", None, "A.create"
    )
    assert CallableReference.parse("torch.nn:Linear") == CallableReference(
        None, "torch.nn", "Linear"
    )
    assert PackagePath.parse("pkg.sub:models/x.onnx") == PackagePath("pkg.sub", "models/x.onnx")
    assert PackagePath.parse("model.onnx") is None


def test_importing_the_room_does_not_import_pydantic():
    code = "import sys, nosbuild.spec; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
