"""What stands where in the drawings, read back from their SVG."""

import itertools
import math
import re

import pytest
from pages import bar_line, coordinates, marks, page_of, place
from sample_reports import ALL, crowded, finding, forest, minilm, report, speed, variant

INF, NAN = math.inf, math.nan


def pareto(made):
    return page_of(made).drawings["pareto"]


def judged(*values, bar="cosine >= 0.99", holds=None):
    """A report with a variant ``v0``, ``v1`` ... for each value; the last is published."""
    last = len(values) - 1
    rows = [
        variant(
            f"v{n}",
            "published" if n == last else "proven",
            "x",
            found=[finding(value, bar, "y", holds=holds[n] if holds else True)],
            measured=speed(1, 2 + n, 3),
        )
        for n, value in enumerate(values)
    ]
    return report(*rows)


@pytest.mark.parametrize("name", ALL)
def test_everything_is_drawn_within_the_frame(name):
    drawings = page_of(ALL[name]()).drawings
    assert set(drawings) == {"pareto", "latency"}
    for svg in drawings.values():
        width, height = (float(v) for v in svg.attrib["viewBox"].split()[2:])
        for x, y in coordinates(svg):
            assert 0 <= x <= width + 8, svg[0].text
            assert 0 <= y <= height, svg[0].text


@pytest.mark.parametrize(
    "values",
    [
        (0.0, 0.0, 0.0),
        (0.0, 1e-300, 1e-9, 5e-4),
        (NAN, INF, 1e300, 0.0),
        (5e-4, 5e-4, 5e-4),
        (NAN,),
        (INF, 0.0011),
    ],
)
@pytest.mark.parametrize("bar", ["relative <= 0.001", "max_abs <= 1e-300", "allclose(atol=0)"])
def test_odd_errors_still_have_a_place(values, bar):
    bar = bar if "<=" in bar else f"{bar} excess <= 0"
    for x, y in coordinates(pareto(judged(*values, bar=bar))):
        assert math.isfinite(x)
        assert math.isfinite(y)


@pytest.mark.parametrize("rate", [0.0, NAN, INF, 1e-9, 1e12])
def test_odd_speeds_still_have_a_place_or_none(rate):
    odd = variant("odd", "refused", "x", found=[finding(0.5)], measured=speed(1, 2, 3, rate=rate))
    kept = variant("a", "published", "x", found=[finding(1.0)], measured=speed(1, 2, 3))
    svg = pareto(report(odd, kept))
    assert ("odd" in marks(svg)) is (0 < rate < INF)
    assert all(0 <= y <= 330 for _, y in coordinates(svg))


@pytest.mark.parametrize(("median", "drawn"), [(0.0, False), (NAN, False), (1e-6, True)])
def test_odd_latencies_still_have_a_place_or_none(median, drawn):
    odd = variant("odd", "refused", "x", measured=speed(median, median, median, rate=1.0))
    kept = variant("a", "published", "x", found=[finding(1.0)], measured=speed(1, 2, 3))
    svg = page_of(report(odd, kept)).drawings["latency"]
    assert ("odd" in marks(svg)) is drawn
    assert all(0 <= y <= 330 for _, y in coordinates(svg))


def test_the_bar_parts_what_keeps_to_it_from_what_does_not():
    svg = pareto(minilm())
    found = marks(svg)
    bar = bar_line(svg)
    for name in ("pytorch-eager", "onnx-fp32", "onnx-fp16", "onnx-int8-dynamic"):
        assert place(found[name])[0] < bar, name
    for name in ("onnx-int8-static", "onnx-int8-static-entropy"):
        assert place(found[name])[0] > bar, name
    assert "tensorrt-fp16" not in found


def test_worse_stands_further_right_and_faster_further_up():
    values = (0.99999, 0.9999, 0.997, 0.99, 0.98, 0.5, NAN)
    svg = pareto(judged(*values))
    points = [place(marks(svg)[f"v{n}"]) for n in range(len(values))]
    assert points == sorted(points)
    assert len({x for x, _ in points}) == len(points)
    assert points[3][0] == pytest.approx(bar_line(svg), abs=0.2)


def test_no_error_at_all_stands_left_of_the_least_on_a_logarithmic_axis():
    svg = pareto(judged(0.0, 1e-12, 2e-6, 4e-4, bar="relative <= 0.001"))
    assert "< 0.01 %" in "".join(svg.itertext())
    at = [place(marks(svg)[f"v{n}"])[0] for n in range(4)]
    assert at[0] == at[1] < at[2] < at[3] < bar_line(svg)


def test_errors_of_one_size_stand_on_a_linear_axis_from_zero():
    svg = pareto(judged(0.0002, 0.0004, 0.0008, bar="relative <= 0.001"))
    a, b, c = (place(marks(svg)[f"v{n}"])[0] for n in range(3))
    assert c - b == pytest.approx(2 * (b - a), abs=0.3)
    assert bar_line(svg) - c == pytest.approx(b - a, abs=0.3)


@pytest.mark.parametrize(
    ("bar", "values"),
    [("metrics.py:f1 >= 0.9", (0.99, 0.93)), ("allclose(rtol=0.01) excess <= 0", (-0.5, -0.1))],
)
def test_a_metric_without_a_known_best_value_is_drawn_as_it_is(bar, values):
    svg = pareto(judged(*values, bar=bar))
    first, second = (place(marks(svg)[f"v{n}"])[0] for n in range(2))
    assert first < second < bar_line(svg)
    assert f"{bar.rsplit(maxsplit=2)[0]} of y" in "".join(svg.itertext())


def test_a_metric_that_the_axis_leaves_out_is_said_and_still_refuses():
    def both(judgement, holds):
        return [finding(0.9999), finding(judgement, "metrics.py:f1 >= 0.9", holds=holds)]

    made = report(
        variant("a", "published", "x", found=both(0.95, True), measured=speed(1, 2, 3)),
        variant("b", "refused", "x", found=both(0.2, False), measured=speed(1, 1, 3)),
    )
    page = page_of(made)
    svg = page.drawings["pareto"]
    assert "Not on this axis: metrics.py:f1." in page.text
    assert place(marks(svg)["a"])[0] < bar_line(svg) < place(marks(svg)["b"])[0]


@pytest.mark.parametrize("name", ALL)
def test_the_published_variant_alone_is_ringed_and_named_so(name):
    made = ALL[name]()
    found = marks(pareto(made))
    ringed = [n for n, g in found.items() if any(c.get("class") == "ring" for c in g)]
    named = [n for n, g in found.items() if "published" in "".join(map(str, _labels(g)))]
    assert ringed == named == [made.published]


def _labels(group):
    return [text.text for text in group.findall("text")]


def test_what_may_not_be_published_is_hollow():
    made = minilm()
    hollow = {n for n, g in marks(pareto(made)).items() if "hollow" in g.attrib["class"]}
    assert hollow == {"onnx-int8-static", "onnx-int8-static-entropy"}


def test_latency_grows_upwards_and_p99_is_faint_above_p50():
    svg = page_of(minilm()).drawings["latency"]
    found = marks(svg)
    assert set(found) == {v.name for v in minilm().variants if v.speed}
    for group in found.values():
        lines = {
            line.attrib["class"]: [
                tuple(map(float, point.split(","))) for point in line.attrib["points"].split()
            ]
            for line in group.findall("polyline")
        }
        assert [x for x, _ in lines["p50"]] == [x for x, _ in lines["p99"]]
        assert all(
            above < below for (_, above), (_, below) in zip(lines["p99"], lines["p50"], strict=True)
        )
        assert [y for _, y in lines["p50"]] == sorted((y for _, y in lines["p50"]), reverse=True)
    assert place(found["onnx-int8-dynamic"])[1] > place(found["pytorch-eager"])[1]


def _boxes(svg):
    for group in svg.findall("g"):
        for text in group.findall("text"):
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            yield text.text, (x, y - 9, x + 6.5 * len(text.text or ""), y)


@pytest.mark.parametrize("drawing", ["pareto", "latency"])
@pytest.mark.parametrize("make", [crowded, minilm, forest])
def test_no_number_covers_another(make, drawing):
    boxes = list(_boxes(page_of(make()).drawings[drawing]))
    assert len(boxes) == sum(v.speed is not None for v in make().variants)
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)


@pytest.mark.parametrize("drawing", ["pareto", "latency"])
def test_who_cannot_see_it_is_told_the_same(drawing):
    svg = page_of(minilm()).drawings[drawing]
    title, described = svg[0], svg[1]
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-labelledby"] == f"{title.attrib['id']} {described.attrib['id']}"
    for name in marks(svg):
        assert re.search(rf"{name}: .*?(items/s|ms)", described.text or ""), name
