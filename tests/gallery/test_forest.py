"""breast_cancer: the same forest every time, good, and never undecided."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

Task = Callable[[str, str], ModuleType]


def test_training_is_deterministic_and_good(task: Task) -> None:
    forest = task("breast_cancer", "forest")
    _, rows, _, labels = forest.split()
    once, again = forest.train(), forest.train()
    np.testing.assert_array_equal(once.predict_proba(rows), again.predict_proba(rows))
    assert once.score(rows, labels) > 0.93


def test_no_vote_is_tied(task: Task) -> None:
    # A tie makes scikit-learn and ONNX Runtime answer differently, and both be right.
    forest = task("breast_cancer", "forest")
    votes = forest.train().predict_proba(forest.split()[1])
    assert np.abs(votes[:, 0] - votes[:, 1]).min() > 1e-3
