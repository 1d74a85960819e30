"""The search for what to keep: small sets, found within a budget, or a clear no."""

import math
import time

import pytest

from nosbuild.optimize.rescue import Budget, Score, rescue

NAMES = [f"n{index}" for index in range(50)]


def additive(errors, bar=1.0):
    """Every converted node adds its error; the bar is on their sum."""

    def attempt(kept):
        return Score(bar - sum(error for name, error in errors.items() if name not in kept))

    return attempt


def test_nothing_is_kept_where_the_bars_hold():
    found = rescue(NAMES, additive({"n3": 0.5}))
    assert found.holds
    assert (found.kept, found.attempts, found.share) == ((), 1, 0.0)


def test_the_few_that_harm_are_found_among_many():
    errors = dict.fromkeys(NAMES, 0.001) | {"n7": 3.0, "n31": 2.0, "n32": 0.9}
    found = rescue(NAMES, additive(errors), Budget(attempts=40))
    assert found.holds
    assert set(found.kept) == {"n7", "n31"}  # n32 and the small ones fit under the bar
    assert found.attempts <= 40
    assert found.share == pytest.approx(2 / 50)
    assert found.describe(50).startswith("2 of 50 nodes kept in higher precision (4% of the work)")


def test_every_one_that_makes_nan_is_kept():
    offenders = {"n2", "n17", "n44"}

    def attempt(kept):
        return Score(0.5 if offenders <= kept else math.nan)

    found = rescue(NAMES, attempt, Budget(attempts=60))
    assert found.holds
    assert set(found.kept) == offenders


def test_what_keeping_costs_decides_between_equals():
    errors = {"n10": 0.8, "n40": 0.8}
    costs = dict.fromkeys(NAMES, 1.0) | {"n10": 30.0}
    found = rescue(NAMES, additive(errors), Budget(attempts=60), costs)
    assert found.kept == ("n40",)


def test_a_finer_error_ranks_where_the_margin_is_a_share_of_few():
    errors = dict.fromkeys(NAMES, 0.001) | {"n7": 3.0, "n31": 2.0}

    def attempt(kept):
        left = sum(error for name, error in errors.items() if name not in kept)
        return Score(0.01 if left < 1 else -1.0, left)

    assert set(rescue(NAMES, attempt).kept) == {"n7", "n31"}


def test_a_small_budget_is_kept_and_told():
    errors = dict.fromkeys(NAMES, 1.0)
    tried = []

    def attempt(kept):
        tried.append(kept)
        return additive(errors, 30.5)(kept)

    found = rescue(NAMES, attempt, Budget(attempts=5))
    assert len(tried) == found.attempts <= 5
    assert not found.holds or len(found.kept) >= 20
    assert len(set(tried)) == len(tried)


def test_time_ends_the_search():
    def attempt(kept):
        time.sleep(0.05)
        return Score(-1.0)

    found = rescue(NAMES, attempt, Budget(attempts=1000, seconds=0.3))
    assert found.exhausted
    assert found.attempts <= 0.3 / 0.05 + 1
    assert "the budget ended the search" in found.describe(50)


def test_no_set_is_a_clear_no():
    found = rescue(NAMES, lambda kept: Score(-0.25))
    assert not found.holds
    assert found.margin == -0.25
    assert "0.25 short" in found.describe(50)


def test_one_node_alone_cannot_be_rescued():
    found = rescue(["only"], lambda kept: Score(math.nan))
    assert not found.holds
    assert found.attempts == 1
