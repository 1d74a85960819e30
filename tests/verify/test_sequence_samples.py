"""Samples of models with states: sequences go in, items with the states reached come out."""

import numpy as np
import pytest

from nosbuild.errors import SampleError, SpecError
from nosbuild.source.load import load_source
from nosbuild.verify.golden import read_golden
from nosbuild.verify.references import collect_references
from nosbuild.verify.sequence_samples import sequences_among

TALLY = """
def forward(self, x, total):
    reached = total + x
    return reached.sum(1), reached
"""
INPUTS = "{x: 'float32[batch, 3]', total: 'float32[batch, 3]'}"
OUTPUTS = "{y: 'float32[batch]', total_next: 'float32[batch, 3]'}"
STATE = "state: {total: total_next}\n"
ONES = "{'x': np.ones(3, np.float32)}"


@pytest.fixture
def tally(torch_model):
    def make(code="", more=""):
        if not code:
            return torch_model(TALLY, INPUTS, OUTPUTS, STATE + more)
        samples = f"import numpy as np\n\ndef samples():\n    {code}\n"
        return torch_model(
            TALLY,
            INPUTS,
            OUTPUTS,
            STATE + "samples: 'samples.py:samples'\n" + more,
            samples=samples,
        )

    return make


@pytest.fixture
def collected(tmp_path):
    def collect(spec):
        facts = collect_references(spec, tmp_path / "references")
        return facts, read_golden(tmp_path / "references/items")

    return collect


def totals(items):
    return [float(item.inputs["total"][0]) for item in items]


def test_each_list_is_a_sequence_from_the_initial_state(tally, collected):
    facts, items = collected(tally(f"return [[{ONES}] * 3, [{ONES}] * 2]"))
    assert facts["real"]
    assert facts["reasons"] == []
    assert totals(items) == [0, 1, 2, 0, 1]
    assert [float(item.outputs["y"]) for item in items] == [3, 6, 9, 3, 6]


def test_without_samples_sequences_are_drawn(tally, collected):
    facts, items = collected(tally())
    assert not facts["real"]
    zeros = {"total": np.zeros(3, np.float32)}
    sequences = sequences_among(items, {"total": "total_next"}, zeros)
    assert len(sequences) > 1
    assert {len(sequence) for sequence in sequences} == {8}
    assert sum(map(len, sequences)) == len(items)


def test_the_golden_ones_are_beginnings_of_sequences(tally, tmp_path, collected):
    collected(tally(f"return [[{ONES}] * 40 for _ in range(20)]"))
    golden = read_golden(tmp_path / "references/golden")
    assert totals(golden) == [0, 1, 2, 3] * 8


def test_a_golden_sequence_of_a_single_list_is_long(tally, tmp_path, collected):
    collected(tally(f"yield [{ONES}] * 50"))
    assert totals(read_golden(tmp_path / "references/golden")) == list(range(32))


def test_samples_without_a_chain_are_told_apart():
    """A sample whose state nobody answered begins nothing and follows nothing."""

    class Sample:
        def __init__(self, before, after):
            self.inputs = {"s": np.float32([before])}
            self.outputs = {"n": np.float32([after])}

    samples = [Sample(*pair) for pair in [(0, 1), (1, 2), (7, 8), (8, 9), (0, 4), (0, 4), (4, 1)]]
    found = sequences_among(samples, {"s": "n"}, {"s": np.zeros(1, np.float32)})
    assert found == [[0, 1], [4], [5, 6]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return []", "yielded no sequence"),
        ("return [[], []]", "yielded no sequence"),
        ("return 3", "yielded no sequence"),
        (f"return [{ONES}]", "yielded a dict, no sequence"),
        (f"return [[{ONES}, {{}}]]", "sequence 0, request 1 holds nothing, the inputs are x"),
        (
            f"return [[{{**{ONES}, 'total': np.zeros(3, np.float32)}}]]",
            "sequence 0, request 0 holds total, which the model gives itself",
        ),
        ("return [[3]]", "sequence 0, request 0 holds int"),
    ],
)
def test_wrong_sequences(tally, collected, code, said):
    with pytest.raises(SampleError) as caught:
        collected(tally(code))
    assert said in caught.value.message
    assert caught.value.remedy


GROWING = (
    "def forward(self, x, seen):\n    seen = torch.cat((seen, x), 1)\n    return seen.sum(1), seen"
)
GROWS = "dims: {n: 1..4..6, m: 2..5..7}\nstate: {seen: seen_next}\n"


@pytest.fixture
def growing(torch_model):
    def make(more=GROWS, **files):
        outputs = "{y: 'float32[batch]', seen_next: 'float32[batch, m]'}"
        inputs = "{x: 'float32[batch, 1]', seen: 'float32[batch, n]'}"
        return torch_model(GROWING, inputs, outputs, more, **files)

    return make


def test_a_drawn_sequence_grows_as_long_as_the_ranges_let_it(growing, collected):
    _, items = collected(growing())
    sizes = [item.inputs["seen"].size for item in items]
    assert sizes[:6] == [1, 2, 3, 4, 5, 6]
    assert max(sizes) == 6


def test_a_users_sequence_that_grows_too_far_is_told(growing, collected):
    code = (
        "import numpy as np\n\n\ndef samples():\n    return [[{'x': np.ones(1, np.float32)}] * 9]"
    )
    spec = growing(GROWS + "samples: 'samples.py:samples'\n", samples=code)
    with pytest.raises(SampleError, match=r"request 6: seen has n=7, but dims.n is 1\.\.4\.\.6"):
        collected(spec)


def test_a_state_that_cannot_begin_at_one_is_refused(growing):
    with pytest.raises(SpecError, match=r"2\.\.4\.\.6 does not start at 1, where Triton begins"):
        load_source(growing(GROWS.replace("n: 1..", "n: 2..")))


def test_states_that_triton_would_swap_are_refused(torch_model):
    """Cache sorts before cache_len, but cache_len_next before cache_next."""
    body = "def forward(self, x, cache, cache_len):\n    return x, cache, cache_len"
    names = ("x", "cache", "cache_len")
    inputs = dict.fromkeys(names, "float32[batch, 2]")

    def spec(pattern, name):
        states = {state: pattern.format(state) for state in names[1:]}
        outputs = dict.fromkeys(("y", *states.values()), "float32[batch, 2]")
        return torch_model(body, str(inputs), str(outputs), f"state: {states}", name=name)

    with pytest.raises(SpecError) as caught:
        load_source(spec("{}_next", "swapped"))
    assert "would give it 'cache_len_next'" in str(caught.value)
    load_source(spec("next_{}", "good"))


def test_a_state_of_one_number_an_item_is_refused(torch_model):
    body = "def forward(self, x, s):\n    return x + s, x * s"
    inputs = "{x: 'float32[batch]', s: 'float32[batch]'}"
    spec = torch_model(body, inputs, "{y: 'float32[batch]', n: 'float32[batch]'}", "state: {s: n}")
    with pytest.raises(SpecError, match="no axis beside the batch") as caught:
        load_source(spec)
    assert "float32[batch, 1]" in str(caught.value)
