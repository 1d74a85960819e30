"""Ratios and their intervals."""

import numpy as np
import pytest

from nosbuild.verify.choose import CONFIDENCE, ratio


def test_a_ratio_is_paired_by_round():
    """The machine slows down threefold half-way: the ratio does not notice."""
    drift = np.array([3, 3, 3, 1, 1, 1.0])
    found = ratio(2 * drift, drift)
    assert (found.value, found.low, found.high, found.rounds) == (2, 2, 2, 6)


@pytest.mark.parametrize(("rounds", "confidence"), [(1, 0.0), (4, 0.875), (5, 0.9375), (8, 0.93)])
def test_the_confidence_is_that_of_order_statistics(rounds, confidence):
    found = ratio([1.0] * rounds, [1.0] * rounds)
    assert found.confidence == pytest.approx(confidence, abs=0.005)


def test_the_interval_holds_the_median_as_often_as_it_says():
    draw = np.random.default_rng(0)
    for rounds in (5, 9, 12):
        hits, told = 0, 0.0
        for _ in range(2000):
            found = ratio(draw.lognormal(0, 0.3, rounds), np.ones(rounds))
            hits += found.low <= 1 <= found.high
            told = found.confidence
        assert told >= CONFIDENCE
        assert hits / 2000 == pytest.approx(told, abs=0.03)
