"""The forest, and the split of scikit-learn's bundled data that it was trained and tested on."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train rows, test rows (float32[n, 30]), train labels, test labels (int64[n])."""
    data = load_breast_cancer()
    rows = data.data.astype(np.float32)
    labels = data.target.astype(np.int64)
    train_rows, test_rows, train_labels, test_labels = train_test_split(
        rows, labels, test_size=0.4, random_state=0, stratify=labels
    )
    return train_rows, test_rows, train_labels, test_labels


def train() -> RandomForestClassifier:
    """Fit 101 trees, the same ones every time; an odd number, because a tied vote has no answer."""
    rows, _, labels, _ = split()
    return RandomForestClassifier(n_estimators=101, random_state=0).fit(rows, labels)
