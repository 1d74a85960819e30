"""Metrics against plain formulas, on seeded arrays and on every odd value there is."""

import numpy as np
import pytest

from nosbuild.verify.metrics import Bar, bars_to_check, metric

NAN, INF = float("nan"), float("inf")


def plain_cosine(a, b):
    worst = 1.0
    for x, y in zip(a, b, strict=True):
        x, y = [float(v) for v in x.flat], [float(v) for v in y.flat]
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        worst = min(worst, dot / (sum(p * p for p in x) ** 0.5 * sum(q * q for q in y) ** 0.5))
    return worst


def plain_p999(a, b):
    errors = sorted(abs(float(p) - float(q)) for p, q in zip(a.flat, b.flat, strict=True))
    place = 0.999 * (len(errors) - 1)
    low = int(place)
    high = min(low + 1, len(errors) - 1)
    return errors[low] + (errors[high] - errors[low]) * (place - low)


def pairs(a, b):
    return [(float(p), float(q)) for p, q in zip(a.flat, b.flat, strict=True)]


PLAIN = {
    "cosine": plain_cosine,
    "max_abs": lambda a, b: max(abs(p - q) for p, q in pairs(a, b)),
    "p999_abs": plain_p999,
    "relative": lambda a, b: (
        max(abs(p - q) for p, q in pairs(a, b)) / max(abs(q) for _, q in pairs(a, b))
    ),
    "excess": lambda a, b: max(abs(p - q) - (0.01 + 0.1 * abs(q)) for p, q in pairs(a, b)),
    "agreement": lambda a, b: sum(p == q for p, q in pairs(a, b)) / a.size,
    "top1_agreement": lambda a, b: np.mean(
        [
            max(range(len(p)), key=lambda i: p[i]) == max(range(len(q)), key=lambda i: q[i])
            for p, q in zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), strict=True)
        ]
    ),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", PLAIN)
def test_against_the_plain_formula(name, dtype, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 9, size=rng.integers(2, 5)))
    reference = (rng.normal(size=shape) * 10 ** rng.uniform(-2, 2)).astype(dtype)
    candidate = (reference * (1 + rng.normal(size=shape) * 0.2)).astype(dtype)
    candidate.flat[0] = reference.flat[0]
    found = metric(name, candidate, reference, {"atol": 0.01, "rtol": 0.1})
    assert found == pytest.approx(PLAIN[name](candidate, reference), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_excess_says_what_allclose_says(seed):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=(3, 4)).astype(np.float32)
    a = (b + rng.normal(size=b.shape) * 10 ** rng.uniform(-4, -2)).astype(np.float32)
    bars = {"atol": 1e-3, "rtol": 1e-3}
    # In float64, as the metric computes, so that the last bit cannot decide.
    close = np.allclose(a.astype(float), b.astype(float), **bars)
    assert (metric("excess", a, b, bars) <= 0) == close


@pytest.mark.parametrize(
    ("candidate", "reference", "value"),
    [
        ([[0, 0]], [[0, 0]], 1.0),
        ([[0, 0]], [[1, 0]], 0.0),
        ([[1, 0]], [[0, 0]], 0.0),
        ([[1, 0]], [[-1, 0]], -1.0),
        ([[1, 1], [1, 1]], [[1, 1], [1, -1]], 0.0),  # the worst row
        ([[1e-200, 0]], [[1e-200, 0]], 1.0),  # squares underflow
        ([[1e200, 0]], [[1e200, 0]], 1.0),  # squares overflow
    ],
)
def test_cosine_of_special_rows(candidate, reference, value):
    assert metric("cosine", np.array(candidate, float), np.array(reference, float), {}) == value


BARS = {
    "cosine": 0.1,
    "top1_agreement": 0.1,
    "max_abs": 1e9,
    "p999_abs": 1e9,
    "relative": 1e9,
    "excess": 0.0,
}


@pytest.mark.parametrize("name", BARS)
@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_a_candidate_that_is_not_finite_keeps_to_no_bar(name, odd):
    reference = np.array([[1.0, 2.0, 3.0]])
    candidate = np.array([[1.0, 2.0, odd]])
    if name == "top1_agreement" and odd == INF:
        candidate = np.array([[odd, 2.0, 3.0]])
    value = metric(name, candidate, reference, {"atol": 1e9, "rtol": 1e9})
    assert not Bar(name, BARS[name]).holds(value)


@pytest.mark.parametrize("name", ["max_abs", "p999_abs", "relative", "excess"])
@pytest.mark.parametrize("bars", [{"atol": 1e-3}, {"atol": 1e-3, "rtol": 1e-3}])
def test_equal_infinities_differ_by_nothing_and_excuse_nothing(name, bars):
    """Masked logits hold -inf in the source too."""
    reference = np.array([[1.0, -INF, 2.0]])
    bar = Bar(name, 0.0 if name == "excess" else 1e-3)
    assert bar.holds(metric(name, reference, reference, bars))
    wrong = np.array([[1.5, -INF, 2.0]])
    assert not bar.holds(metric(name, wrong, reference, bars))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty_arrays_hold_nothing_against_anyone(name, shape):
    empty = np.zeros(shape, np.float32)
    assert metric(name, empty, empty, {}) == (1.0 if Bar(name, 0).higher_is_better else 0.0)


def test_float16_is_compared_in_float64():
    reference = np.full((1, 4), 60000, np.float16)
    assert metric("max_abs", -reference, reference, {}) == 120_000
    assert metric("cosine", reference, reference, {}) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool, object])
def test_agreement_of_what_is_not_float(dtype):
    reference = np.array([[1, 0, 1, 1]]).astype(dtype)
    candidate = np.array([[1, 1, 1, 1]]).astype(dtype)
    assert metric("agreement", candidate, reference, {}) == 0.75


def test_relative_to_a_reference_of_zeros_is_absolute():
    zeros = np.zeros((1, 3))
    assert metric("relative", zeros, zeros, {}) == 0.0
    assert metric("relative", zeros + 0.5, zeros, {}) == 0.5


def test_an_unknown_metric_is_no_pass():
    one = np.ones((1, 1))
    with pytest.raises(KeyError):
        metric("vibes", one, one, {})


def test_atol_and_rtol_are_one_bar_and_other_dtypes_are_exact():
    bars = {"atol": 1.0, "rtol": 2.0, "cosine": 0.5}
    assert bars_to_check(bars, is_float=True) == [Bar("cosine", 0.5), Bar("excess", 0.0)]
    assert bars_to_check({"relative": 1e-3}, is_float=False) == [Bar("agreement", 1.0)]
    assert bars_to_check({"agreement": 0.9}, is_float=False) == [Bar("agreement", 0.9)]
