"""Outputs that are filled up to the longest of a batch: what is padding, and what is not."""

from types import SimpleNamespace

import numpy as np
import pytest

from nosbuild.errors import Refused
from nosbuild.spec.quality import parse_quality
from nosbuild.tensors import TensorSpec
from nosbuild.verify.compare import Comparison

IDS = TensorSpec.parse("y", "int64[batch, seq]")
SCORES = TensorSpec.parse("y", "float32[batch, seq, 2]")
WORDS = TensorSpec.parse("y", "string[batch, n]")


@pytest.fixture
def compared(tmp_path):
    """The worst of the one bar, for what was answered in a batch and what the item is alone."""

    def add(tensor, value, found, own, quality=None):
        bars = SimpleNamespace(folder=tmp_path, quality=parse_quality(quality or {}, tmp_path))
        comparison = Comparison(bars, [tensor], {"y": value})
        comparison.add({"y": np.array([found])}, {"y": np.array([own])}, [3], 8)
        ((_, bar),) = comparison.checks
        return comparison.worst("y", bar)

    return add


def texts(*words):
    return np.array(words, dtype=object)


@pytest.mark.parametrize(
    ("tensor", "value", "found", "own"),
    [
        (IDS, 0, [5, 6, 0, 0], [5, 6]),
        (IDS, 0, [0, 0], np.empty(0, np.int64)),
        (WORDS, "-", texts("a", "-"), texts("a")),
        (WORDS, "", texts(b"\xff", b""), texts(b"\xff")),
        (SCORES, 0.1, np.float32([[1, 2], [0.1, 0.1]]), np.float32([[1, 2]])),
        (SCORES, float("nan"), np.float32([[1, 2], [np.nan, np.nan]]), np.float32([[1, 2]])),
        (SCORES, float("-inf"), np.float32([[1, 2], [-np.inf, -np.inf]]), np.float32([[1, 2]])),
    ],
)
def test_what_is_more_may_be_padding(compared, tensor, value, found, own):
    assert compared(tensor, value, found, own) in (0, 1)  # no error, or full agreement


@pytest.mark.parametrize(
    ("tensor", "value", "found", "own", "message"),
    [
        (IDS, 0, [5, 6, 0, 7], [5, 6], "but holds 7, and pad says 0"),
        (WORDS, "-", texts("a", ""), texts("a"), "but holds '', and pad says '-'"),
        (SCORES, 0.1, np.float32([[1, 2], [0.1, 0.2]]), np.float32([[1, 2]]), "pad says 0.1"),
        (IDS, 0, [5], [5, 0], r"shape \[1, 1\] .* the source gives \[1, 2\]"),  # shorter
        (SCORES, 0, np.zeros((1, 3)), np.zeros((1, 2)), "the source gives"),  # no varying axis
        (SCORES, 0, np.zeros(2), np.zeros((1, 2)), "the source gives"),
    ],
)
def test_all_that_is_more_must_be_the_padding(compared, tensor, value, found, own, message):
    with pytest.raises(Refused, match=message):
        compared(tensor, value, found, own)


def test_padding_does_not_hide_what_is_wrong(compared):
    filled = np.full((99, 2), -1000.0, np.float32)
    found = np.concatenate([np.float32([[1, 0]]), filled])
    assert compared(SCORES, -1000, found, np.float32([[0, 1]]), {"cosine": 0.99}) == 0
    assert compared(IDS, 0, [5, 7, 0, 0, 0, 0], [5, 6], {"agreement": 0.5}) == 0.5


def test_rows_of_one_request_are_each_compared_with_their_own_item(tmp_path):
    bars = SimpleNamespace(folder=tmp_path, quality=parse_quality({}, tmp_path))
    answers = [{"y": np.array([5])}, {"y": np.array([7, 8])}]
    comparison = Comparison(bars, [IDS], {"y": 0})
    assert comparison.padding.are_alike(*answers)
    comparison.add_rows({"y": np.array([[7, 8, 0], [5, 0, 0]])}, answers, [1, 0])
    (finding,) = comparison.findings()
    assert (finding.value, finding.batch) == (1, 2)
    with pytest.raises(Refused, match=r"for sample 0 in a batch of 2 and .* alone"):
        comparison.add_rows({"y": np.array([[7, 8, 0], [5, 0, 1]])}, answers, [1, 0])
    strict = Comparison(bars, [IDS])
    assert not strict.padding.are_alike(*answers)
    with pytest.raises(Refused, match="the source gives"):
        strict.add({"y": np.array([[5, 0]])}, {"y": np.array([[5]])}, [0], 2)
