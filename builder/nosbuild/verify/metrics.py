"""Reference and candidate arrays go in; error metrics come out, per output.

Every metric but the two shares takes the worst item, never the mean: one wrong answer among many
right ones must show. A NaN in the candidate never keeps to a bar.

- ``cosine``: of an item and its reference, both flattened; 1 where both are all zero.
- ``top1_agreement``: share of rows (last axis) whose largest element stands at the same place.
- ``agreement``: share of equal elements.

  Both are counted over all samples, at each batch size by itself: 0.99 lets one row in 100 differ.
- ``max_abs``, ``p999_abs``: largest, and 99.9th percentile of, ``|candidate - reference|``.
- ``relative``: ``max_abs`` over the largest finite ``|reference|`` of the output (its scale).
- ``excess``: largest ``|c - r| - (atol + rtol * |r|)``; positive where numpy.allclose says no.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bar:
    """A quality bar: a metric's name, the value it must keep to, and in which direction."""

    metric: str
    threshold: float

    @property
    def higher_is_better(self) -> bool:
        """True for similarities and the user's own metrics, False for errors."""
        return self.metric not in ERRORS

    def holds(self, value: float) -> bool:
        """True where the value keeps to the bar; never for NaN."""
        return value >= self.threshold if self.higher_is_better else value <= self.threshold

    def margin(self, value: float, unit: float) -> float:
        """How far within the bar a value is, in parts of what the bar allows.

        Args:
            value: of the metric.
            unit: what counts as one for bars at zero: the absolute tolerance of ``excess``.
        """
        if not self.higher_is_better:
            return (self.threshold - value) / (self.threshold or unit)
        allowed = 1.0 - self.threshold if self.metric in ("cosine", *SHARES) else 0.0
        return (value - self.threshold) / (allowed or unit)

    def describe(self) -> str:
        """``cosine >= 0.99``."""
        return f"{self.metric} {'>=' if self.higher_is_better else '<='} {self.threshold:g}"


ERRORS = frozenset({"max_abs", "p999_abs", "relative", "excess"})
SHARES = frozenset({"top1_agreement", "agreement"})
"""Metrics that are a mean by nature: a share of rows or elements."""


def cosine(candidate: np.ndarray, reference: np.ndarray) -> float:
    """Worst cosine similarity of any item (axis 0) with its reference."""
    if reference.size == 0:
        return 1.0
    a, b = _directions(candidate), _directions(reference)
    both_zero = ~a.any(1) & ~b.any(1)
    return float(np.where(both_zero, 1.0, (a * b).sum(1)).min(initial=1.0))


def _directions(array: np.ndarray) -> np.ndarray:
    """Items as rows of length 1; zero rows stay zero, rows that are not finite become NaN."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    largest = np.abs(rows).max(1, keepdims=True)
    with np.errstate(invalid="ignore"):  # scaled, so that no square over- or underflows
        rows = rows / np.where(largest == 0, 1.0, largest)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1.0, norms))


def top1_agreement(candidate: np.ndarray, reference: np.ndarray) -> float:
    """Share of rows whose argmax over the last axis agrees."""
    if reference.size == 0:
        return 1.0
    same = candidate.argmax(-1) == reference.argmax(-1)
    return float((same & ~np.isnan(candidate).any(-1)).mean())  # argmax takes NaN for the largest


def agreement(candidate: np.ndarray, reference: np.ndarray) -> float:
    """Share of equal elements."""
    return float((candidate == reference).mean()) if reference.size else 1.0


def absolute_errors(candidate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``|candidate - reference|`` in float64; equal infinities differ by nothing."""
    a, b = candidate.astype(np.float64), reference.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(a == b, 0.0, np.abs(a - b)))


def metric(
    name: str, candidate: np.ndarray, reference: np.ndarray, bars: dict[str, float]
) -> float:
    """The value of one built-in metric; ``bars`` gives atol and rtol to ``excess``."""
    if name == "cosine":
        return cosine(candidate, reference)
    if name == "top1_agreement":
        return top1_agreement(candidate, reference)
    if name == "agreement":
        return agreement(candidate, reference)
    errors = absolute_errors(candidate, reference)
    if errors.size == 0:
        return 0.0
    if name == "max_abs":
        return float(errors.max())
    if name == "p999_abs":
        with np.errstate(invalid="ignore"):  # infinite errors make NaN, which keeps to no bar
            return float(np.quantile(errors, 0.999))
    if name == "relative":
        scale = finite_scale(reference)
        return float(errors.max()) / scale if scale > 0 else float(errors.max())
    if name == "excess":
        size = np.abs(np.where(np.isfinite(reference), reference, 0)).astype(np.float64)
        return float((errors - (bars.get("atol", 0.0) + bars.get("rtol", 0.0) * size)).max())
    raise KeyError(name)


def finite_scale(array: np.ndarray) -> float:
    """Largest finite absolute value; 0 where there is none. An infinite scale excuses anything."""
    sizes = np.abs(array.astype(np.float64))
    return float(sizes.max(initial=0.0, where=np.isfinite(sizes)))


def bars_to_check(bars: dict[str, float], *, is_float: bool) -> list[Bar]:
    """The bars of a spec as checks; atol and rtol together make one.

    Integers, booleans and strings are compared exactly, unless ``agreement`` allows less or a
    metric of the user's own judges them.
    """
    if not is_float:
        own = [Bar(name, value) for name, value in bars.items() if ":" in name]
        exact = bars.get("agreement", None if own else 1.0)
        return own if exact is None else [Bar("agreement", exact), *own]
    checks = [
        Bar(name, value)
        for name, value in bars.items()
        if name not in ("atol", "rtol", "agreement")
    ]
    if "atol" in bars or "rtol" in bars:
        checks.append(Bar("excess", 0.0))
    return checks
