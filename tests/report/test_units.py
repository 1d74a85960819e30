import math

import pytest
from sample_reports import finding

from nosbuild.report.bar_use import share_used
from nosbuild.report.scale import linear, logarithmic
from nosbuild.report.units import (
    byte_size,
    items_per_second,
    milliseconds,
    percent,
    round_number,
    told_apart,
)

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (milliseconds(0.05234), "0.0523 ms"),
        (milliseconds(0.11), "0.110 ms"),
        (milliseconds(0.9999), "1.00 ms"),
        (milliseconds(9.999), "10.0 ms"),
        (milliseconds(99.96), "100 ms"),
        (milliseconds(1234.4), "1,234 ms"),
        (milliseconds(0.0), "0 ms"),
        (milliseconds(NAN), "NaN ms"),
        (items_per_second(1_234_567.8), "1,234,568 items/s"),
        (items_per_second(INF), "∞ items/s"),
        (percent(0.894), "89 %"),
        (percent(0.000012), "0.0012 %"),
        (percent(0.0), "0 %"),
        (percent(NAN), "NaN"),
        (byte_size(999), "999 B"),
        (byte_size(1_234), "1.2 kB"),
        (byte_size(90_900_000), "90.9 MB"),
        (byte_size(2_500_000_000), "2.5 GB"),
        (round_number(9000.0), "9,000"),
        (round_number(20_000.0), "20k"),
        (round_number(1_500_000.0), "1.5M"),
        (round_number(0.5), "0.5"),
        (told_apart(0.98999999, 0.99), "0.98999999"),
        (told_apart(0.99, 0.99), "0.99"),
        (told_apart(math.nextafter(0.99, 0), 0.99), "0.9899999999999999"),
        (told_apart(1 - 2**-53, 0.99, 1.0), "0.9999999999999999"),
        (told_apart(-INF, 0.0), "−∞"),
    ],
)
def test_numbers_read_as_people_write_them(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    ("bar", "value", "share"),
    [
        ("cosine >= 0.99", 0.99, 1.0),
        ("cosine >= 0.99", 0.9995, 0.05),
        ("cosine >= 0.99", 1.0000001, 0.0),
        ("cosine >= 1", 1.0, 0.0),
        ("cosine >= 1", 0.9, INF),
        ("top1_agreement >= 0.98", 0.96, 2.0),
        ("agreement >= 1", 1.0, 0.0),
        ("max_abs <= 0.01", 0.0025, 0.25),
        ("relative <= 0.001", INF, INF),
        ("p999_abs <= 0.5", NAN, NAN),
        ("allclose(atol=0.01) excess <= 0", -0.004, 0.6),
        ("allclose(atol=0.01) excess <= 0", 0.01, 2.0),
        ("allclose(atol=0) excess <= 0", 0.0, 0.0),
        ("allclose(atol=0.01, rtol=0.1) excess <= 0", -0.004, None),
        ("allclose(rtol=0.1) excess <= 0", -0.004, None),
        ("metrics.py:f1 >= 0.9", 0.95, None),
        ("my metrics >= 2.py:f1 >= 0.9", 0.95, None),
    ],
)
def test_the_share_of_a_bar_that_an_error_uses(bar, value, share):
    found = share_used(finding(value, bar))
    assert found == (share if share is None else pytest.approx(share, abs=1e-9, nan_ok=True))


@pytest.mark.parametrize(
    "values", [(1.0,), (3.0, 4.0), (0.004, 950.0), (1e-12, 1e12), (7.0, 7.0), (0.999, 1.0)]
)
@pytest.mark.parametrize("make", [linear, logarithmic])
def test_scales_hold_their_values_and_have_a_few_ticks_in_order(make, values):
    scale = make(values, 50.0, 400.0)
    places = [scale.at(value) for value in values]
    assert all(50 <= place <= 400 for place in places)
    assert (places[0] < places[-1]) is (values[0] < values[-1])
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 10
    assert ticks == sorted(ticks)
    assert all(scale.low <= tick <= scale.high * (1 + 1e-9) for tick in ticks)
