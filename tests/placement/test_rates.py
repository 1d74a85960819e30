"""What a rates.yaml may say, and what is said of one that may not."""

from fractions import Fraction

import pytest

from nosbuild.errors import SpecError
from nosbuild.placement.rates import Wanted, rates_of, read_rates


@pytest.fixture
def read(tmp_path):
    def write(text):
        file = tmp_path / "rates.yaml"
        file.write_text(text)
        return read_rates(file)

    return write


def test_every_form(read):
    found = read(
        "a: 400\nb: {rate: 0.1, throughput: 1e3}\nc: {instances: 2, memory: 3GiB}\n"
    ).models
    assert found == {
        "a": Wanted(rate=Fraction(400)),
        "b": Wanted(rate=Fraction(1, 10), throughput=Fraction(1000)),
        "c": Wanted(instances=2, memory=3 * 2**30),
    }
    assert rates_of({"b": {"rate": 0.1, "throughput": 1e3}}).models["b"] == found["b"]


@pytest.mark.parametrize(
    ("text", "line", "key", "found", "remedy"),
    [
        ("a: many", 1, "a", "'many' is no number", "minilm: 400"),
        ("a: 0", 1, "a", "0 is no rate above 0", "400"),
        ("a: -3", 1, "a", "-3 is no rate above 0", "400"),
        ("a: .inf", 1, "a", ".inf is no rate above 0", "400"),
        ("a: true", 1, "a", "a boolean is no number", "400"),
        ("a: [1]", 1, "a", "a list is no number", "400"),
        ("a: {}", 1, "a", "says nothing", "minilm: 400"),
        ("b: 1\na:\n  rat: 3", 3, "a.rat", "unknown key", "did you mean 'rate'?"),
        ("a: {rate: x}", 1, "a.rate", "'x' is no number", "rate: 400"),
        ("a: {instances: 0}", 1, "a.instances", "0 is no number of instances", "at least 1"),
        ("a: {instances: 1.5}", 1, "a.instances", "1.5 is no number of", "at least 1"),
        ("a: {rate: 1, instances: 2}", 1, "a.instances", "does not go with rate", "remove"),
        ("a: {throughput: 2}", 1, "a.throughput", "says nothing without a rate", "add rate:"),
        ("a: {memory: 3}", 1, "a.memory", "3 is no size", "memory: 3GiB"),
        ("a: {memory: much}", 1, "a.memory", "'much' is no size", "memory: 3GiB"),
        ("", None, "", "the file is empty", "minilm: 400"),
        ("- a", 1, "", "the file holds a list", "minilm: 400"),
        ("a: 1\na: 2", 2, "a", "stands twice, first on line 1", "keep one"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(read, text, line, key, found, remedy):
    with pytest.raises(SpecError) as caught:
        read(text)
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (line, key)
    assert found in problem.found
    assert remedy in problem.remedy


def test_every_problem_is_told_at_once(read):
    with pytest.raises(SpecError) as caught:
        read("a: 0\nb: {rate: x, memory: y}\n")
    assert [problem.key for problem in caught.value.problems] == ["a", "b.rate", "b.memory"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        read_rates(tmp_path / "none.yaml")
