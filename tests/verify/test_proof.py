"""Proofs: what passes, what is refused, and the reason given."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nosbuild.errors import InputError, Refused
from nosbuild.source.load import load_source
from nosbuild.verify.golden import read_golden
from nosbuild.verify.proof import Proof
from nosbuild.verify.references import collect_references, read_references
from nosbuild.verify.run import prove

IDENTITY = "def forward(self, x):\n    return x * 1"


def shifted(by):
    return f"def forward(self, x):\n    return x + {by}"


def finding(proof, bar):
    (found,) = [one for one in proof.findings if one.bar.startswith(bar)]
    return found


def test_a_faithful_export_passes(torch_model, proven, tmp_path):
    body = """
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        return torch.tanh(self.layer(x))
    """
    quality = "{cosine: 0.9999, relative: 1e-5, p999_abs: 1e-5, atol: 1e-5, rtol: 1e-5}"
    proof = proven(torch_model(body, more=f"quality: {quality}\ndims: {{batch: 1..4..16}}"))
    assert proof.passed
    assert proof.refusal() == ""
    assert proof.batches == (1, 4, 16)
    assert not proof.real_samples
    assert list(proof.artifact) == ["model.onnx"]
    assert [one.bar for one in proof.findings] == [
        "cosine >= 0.9999",
        "relative <= 1e-05",
        "p999_abs <= 1e-05",
        "allclose(atol=1e-05, rtol=1e-05) excess <= 0",
    ]
    assert all(one.noise is not None and not one.noise_misses for one in proof.findings)
    golden = read_golden(tmp_path / "references/golden")
    assert len(golden) >= 8
    assert golden[0].inputs["x"].shape == (3,)


MISSES = [
    ("cosine: 0.999", "return -x", "y: cosine >= 0.999, worst -1 "),
    ("top1_agreement: 1.0", "return -x", "y: top1_agreement >= 1, worst 0 "),
    ("atol: 0.4", "return x + 0.5", "y: allclose(atol=0.4) excess <= 0, worst 0.1 "),
    ("p999_abs: 0.4", "return x + 0.5", "y: p999_abs <= 0.4, worst 0.5 "),
    ("relative: 0.01", "return x * 1.1", "y: relative <= 0.01, worst 0.1 "),
]


@pytest.mark.parametrize(("bar", "body", "said"), MISSES, ids=[row[0] for row in MISSES])
def test_every_bar_can_be_missed(torch_model, proven, bar, body, said):
    spec = torch_model(IDENTITY, more=f"quality: {{{bar}}}")
    other = torch_model(f"def forward(self, x):\n    {body}", name="other")
    proof = proven(spec, artifact_of=other)
    assert not proof.passed
    (line,) = proof.refusal().splitlines()
    worst = float(line.partition("worst ")[2].partition(" ")[0])
    assert worst == pytest.approx(float(said.rpartition("worst ")[2]), abs=1e-5)
    assert line.startswith(said.partition("worst ")[0])
    assert line.endswith("missed")


def test_without_bars_the_default_holds(torch_model, proven):
    proof = proven(torch_model(IDENTITY), torch_model(shifted(0.1), name="other"))
    assert finding(proof, "relative <= 0.001").holds is False


def test_integers_are_compared_exactly_unless_allowed(torch_model, proven):
    tensors = "{x: {tensor: 'int64[batch, 4]', range: [0, 9]}}", "{y: 'int64[batch, 4]'}"
    exact = torch_model("def forward(self, x):\n    return x + 0", *tensors)
    capped = torch_model("def forward(self, x):\n    return x.clamp(max=8)", *tensors, name="other")
    assert proven(exact).passed
    refused = proven(exact, capped)
    assert finding(refused, "agreement >= 1").value < 1
    lax = torch_model(
        "def forward(self, x):\n    return x + 0", *tensors, "quality: {agreement: 0.6}"
    )
    assert proven(lax, capped).passed


ROWS = "import numpy as np\ndef rows():\n    return [{'x': np.float32(r)} for r in np.eye(3)] * 4\n"


def test_agreement_is_a_share_of_all_samples(torch_model, proven):
    """The variant errs in one of three rows: 0.667, at every batch size."""
    more = "dims: {batch: 1..2..4}\nsamples: 'samples.py:rows'\nquality: {top1_agreement: %s}"
    other = torch_model(
        "def forward(self, x):\n    return x * torch.tensor([1., 1., -1.])", name="other"
    )
    for bar, passes in ((0.6, True), (0.7, False)):
        proof = proven(torch_model(IDENTITY, more=more % bar, samples=ROWS), other)
        found = finding(proof, "top1_agreement")
        assert found.value == pytest.approx(2 / 3)
        assert proof.passed is passes
        assert found.sample % 3 == 2 or found.batch > 1
        assert proof.real_samples


def test_top1_of_one_number_says_nothing(torch_model, proven):
    one = "{x: 'float32[batch]'}", "{y: 'float32[batch]'}"
    with pytest.raises(InputError, match="top1_agreement says nothing about y: float32"):
        proven(torch_model(IDENTITY, *one, "quality: {top1_agreement: 0.9}"))


def test_unbatched_outputs_are_one_item(torch_model, proven):
    """The cosine of [1, -1e-6] and [1, 1e-6] is one; of their elements by themselves it is not."""
    tensors = "{x: 'float32[2]'}", "{y: 'float32[2]', total: 'float32[]'}"
    body = "def forward(self, x):\n    y = x * 0 + torch.tensor([1.0, %s])\n    return y, y.sum()"
    bars = "quality: {cosine: 0.999}"
    spec = torch_model(body % "1e-6", *tensors, bars)
    proof = proven(spec, torch_model(body % "-1e-6", *tensors, name="other"))
    assert proof.passed, proof.refusal()
    assert proof.batches == (1,)
    assert not proven(spec, torch_model(body % "-1.5", *tensors, name="wrong")).passed


METRIC = """
import numpy as np
def largest_error(candidate, reference):
    return -np.abs(candidate - reference).max()
def nan(candidate, reference):
    return float("nan")
def broken(candidate, reference):
    return candidate["y"]
def words(candidate, reference):
    return "good"
"""


def custom(torch_model, name, bar):
    more = f"quality: {{'metrics.py:{name}': {bar}}}"
    return torch_model(IDENTITY, more=more, metrics=METRIC)


def test_a_metric_of_the_users_own(torch_model, proven):
    assert proven(custom(torch_model, "largest_error", -0.01)).passed
    other = torch_model(shifted(0.5), name="other")
    proof = proven(custom(torch_model, "largest_error", -0.01), other)
    found = finding(proof, "metrics.py:largest_error >= -0.01")
    assert not found.holds
    assert found.value == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nan", "quality: metrics.py:nan returned NaN for output y"),
        ("broken", r"quality: metrics.py:broken raised IndexError: .* \(metrics.py:8\)"),
        ("words", "quality: metrics.py:words raised ValueError: could not convert string"),
    ],
)
def test_a_metric_that_is_broken(torch_model, proven, name, said):
    with pytest.raises(InputError, match=said) as caught:
        proven(custom(torch_model, name, 0))
    assert caught.value.remedy


def test_nan_in_the_source_is_refused_and_can_be_stored(torch_model, proven):
    proof = proven(torch_model("def forward(self, x):\n    return torch.log(x - 100)"))
    assert not proof.passed
    assert "the source itself gives NaN in y for sample 0" in proof.reasons
    again = Proof.model_validate(proof.model_dump(mode="json"))
    assert again.refusal() == proof.refusal()


def test_nan_in_the_variant_alone_is_refused(torch_model, proven):
    other = torch_model("def forward(self, x):\n    return torch.sqrt(x - 100)", name="other")
    proof = proven(torch_model(IDENTITY), other)
    assert not proof.passed
    assert np.isnan(finding(proof, "relative").value)


def test_masked_logits_of_minus_infinity_pass(torch_model, proven):
    body = "def forward(self, x):\n    return x.masked_fill(x < 0, float('-inf'))"
    spec = torch_model(body, more="quality: {atol: 1e-5, relative: 1e-5}")
    assert proven(spec).passed


STATE = {
    "a counter": """
        def __init__(self):
            super().__init__()
            self.calls = 0
        def forward(self, x):
            self.calls += 1
            return x + 0.01 * self.calls
        """,
    "a memory of the last input": """
        def __init__(self):
            super().__init__()
            self.last = 0.0
        def forward(self, x):
            last, self.last = self.last, float(x.sum())
            return x + last
        """,
    "dropout left active": """
        def forward(self, x):
            return nn.functional.dropout(x, 0.5, training=True)
        """,
    "random numbers": """
        def forward(self, x):
            return x + torch.rand_like(x)
        """,
}


@pytest.mark.parametrize("body", STATE.values(), ids=STATE)
def test_hidden_state_is_refused(torch_model, proven, body):
    spec = torch_model(body, more="quality: {relative: 1e9}")  # no bar would notice
    plain = torch_model(IDENTITY, name="plain")
    proof = proven(spec, artifact_of=plain)
    assert not proof.passed
    assert any("answered sample 0 differently the second time" in line for line in proof.reasons)


def test_random_numbers_in_an_onnx_graph_are_refused(make_model, proven, tmp_path):
    (tmp_path / "m").mkdir()
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], scale=1e-3),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    x, y = (info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m/model.onnx")
    proof = proven(make_model("source: {onnx: model.onnx}\nquality: {relative: 1}"))
    assert not proof.passed
    assert any("differently the second time" in reason for reason in proof.reasons)


def test_rows_that_influence_each_other_are_refused(torch_model, proven):
    proof = proven(torch_model("def forward(self, x):\n    return x - x.mean(0)"))
    assert not proof.passed
    assert "rows of a batch influence each other in the source itself" in proof.refusal()
    assert "Declare the tensors without the batch axis" in proof.refusal()


def test_rounding_of_another_batch_size_is_no_influence(torch_model, proven):
    """The rows differ from themselves alone by 1e-6 of their scale, and miss the bar by that."""
    body = "def forward(self, x):\n    return x + %s * (x.shape[0] - 1)"
    quality = "quality: {y: {atol: 1e-12}}\ndims: {batch: 1..2}"
    refusal = proven(torch_model(body % "1e-6", more=quality)).refusal()
    assert "influence each other" not in refusal
    assert refusal.endswith("and the source itself misses it")
    more = torch_model(body % "0.1", more=quality, name="more")
    assert "influence each other" in proven(more).refusal()


def test_a_graph_that_holds_for_batch_one_only_is_refused(torch_model, proven):
    """The export runs at every size here, but its rows see each other."""
    other = torch_model("def forward(self, x):\n    return x + (x - x.mean(0))", name="other")
    proof = proven(torch_model(IDENTITY), artifact_of=other)
    found = finding(proof, "relative")
    assert not found.holds
    assert found.batch > 1


def test_a_bar_tighter_than_the_models_own_rounding_is_noticed(torch_model, proven):
    body = "def forward(self, x):\n    return ((x + 1e4) - 1e4) * 3"
    proof = proven(torch_model(body, more="quality: {atol: 1e-7}"))
    found = finding(proof, "allclose(atol=1e-07)")
    assert found.noise is not None
    assert found.noise > 0
    assert found.noise_misses
    other = torch_model(shifted(0.5), name="other")
    spec = torch_model(body, more="quality: {atol: 1e-7}")
    assert proven(spec, other).refusal().endswith("missed, and the source itself misses it")


@pytest.mark.parametrize("error", ["RuntimeError", "TypeError", "ValueError", "AssertionError"])
def test_a_module_that_insists_on_float32_is_proven_without_that_noise(torch_model, proven, error):
    body = f"""
    def forward(self, x):
        if x.dtype != torch.float32:
            raise {error}("float32 only")
        return x * 2
    """
    assert proven(torch_model(body)).passed


def test_a_variant_that_cannot_run_a_sample_is_refused(torch_model, proven):
    tensors = "{x: 'float32[batch, seq]'}", "{y: 'float32[batch, seq]'}", "dims: {seq: 2..4..9}"
    body = "def forward(self, x):\n    return x %s"
    spec = torch_model(body % "* 1", *tensors)
    narrow = torch_model(body % "+ torch.ones(4)", *tensors[:2], "dims: {seq: 4}", name="narrow")
    with pytest.raises(Refused, match="the variant cannot run sample"):
        proven(spec, artifact_of=narrow)


def test_sizes_that_depend_on_values_cannot_be_batched(torch_model, proven):
    sizes = "{x: {tensor: 'int64[batch]', range: [1, 5]}}", "{y: 'int64[batch, k]'}"
    body = "def forward(self, x):\n    return x.unsqueeze(1).expand(-1, %s)"
    spec = torch_model(body % "int(x.max())", *sizes)
    with pytest.raises(Refused):
        proven(spec, artifact_of=torch_model(body % "2", *sizes, name="other"))


def test_a_stand_in_that_misses_a_share_is_not_averaged_away(torch_model, tmp_path):
    """The artifact is right on all rows, its stand-in on two of three."""
    more = "samples: 'samples.py:rows'\nquality: {top1_agreement: 0.8}"
    spec = torch_model(IDENTITY, more=more, samples=ROWS)
    collect_references(spec, tmp_path / "references")
    _, known = load_source(spec)
    references = read_references(tmp_path / "references")

    class Rows:
        def __init__(self, last):
            self.factors = np.float32([1, 1, last])

        def run(self, inputs):
            return {"y": inputs["x"] * self.factors}

    (tmp_path / "artifact").mkdir()
    for stand_in, passes in ((None, True), (Rows(1), True), (Rows(-1), False)):
        proof = prove(known, Rows(1), tmp_path / "artifact", "v", references, stand_in)
        assert proof.passed is passes
    assert finding(proof, "top1_agreement").value == pytest.approx(2 / 3)
