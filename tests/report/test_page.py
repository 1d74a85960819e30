"""The page as a reader, a browser and an attacker find it."""

import base64
import hashlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import page_of
from sample_reports import ALL, finding, forest, minilm, report, single, speed, variant

from nosbuild.errors import InternalError
from nosbuild.report.page import render

HOSTILE = "</style></svg></title><script>alert(1)</script>\"'><img src=x onerror=y>{{ 7*7 }}&amp;"


@pytest.fixture(scope="module")
def page():
    return page_of(minilm())


def test_a_reader_finds_every_figure_of_a_variant_with_its_unit(page):
    (row,) = page.cells("onnx-int8-dynamic int8, onnxruntime")
    assert row[1:] == [
        "23.0 MB",
        "sentence_embedding cosine 0.9911 (bar ≥ 0.99)",
        "p50 3.05 ms p99 3.66 ms",
        "p50 17.6 ms p99 21.1 ms",
        "p50 74.0 ms p99 88.8 ms",
        "455 items/s 2.21× onnx-fp32 94 % CI 2.14× to 2.30× 2 instances × 1 thread",
        "published fastest of those that keep to their bars",
    ]


def test_a_variant_that_missed_its_bar_says_so_beside_the_figure(page):
    (row,) = page.cells("onnx-int8-static int8, onnxruntime")
    assert row[2] == "sentence_embedding cosine 0.9412 (bar ≥ 0.99, missed)"
    assert row[-1].startswith("refused sentence_embedding: cosine >= 0.99, worst 0.9412")
    (proof,) = page.cells("7 onnx-int8-static")
    assert proof[1:] == ["0.9412 missed", "588 %", "batch 8, sample 137"]


def test_what_was_not_measured_is_left_empty_and_its_reason_stays(page):
    (skipped,) = page.cells("onnx-bf16 bf16")
    assert skipped[1:] == ["", "", "", "", "", "", "skipped the target cpu has no bf16"]
    (unproven,) = page.cells("tensorrt-fp16 fp16, onnxruntime")
    assert unproven[-1] == "unproven built, not proven here: no GPU"


def test_the_story_comes_first_and_once(page):
    text = page.outside_plots
    order = [
        "minilm version 2",
        minilm().headline,
        "Published: onnx-int8-dynamic , chosen for throughput.",
        "Variants",
        "Error against throughput",
        "Latency by batch size",
        "Placements of onnx-int8-dynamic",
        "How each variant was made",
        "212 real samples, batch sizes 1, 8, 32.",
        "Noise floor, the source against itself: 0.99999998",
        "Where this was measured",
    ]
    places = [text.index(fact) for fact in order]
    assert places == sorted(places)
    for fact in (*order[1:3], *order[9:], "8.3 GB", "8-bit weights per channel, 36 of 36 MatMul"):
        assert text.count(fact) == 1, fact


def test_the_chosen_placement_is_marked(page):
    assert page.cells("2 instances × 1 thread") == [
        ["2 instances × 1 thread", "455 items/s", "37.0 ms", "chosen"]
    ]
    assert page.cells("1 instance × 2 threads")[0][-1] == ""


def test_exactly_one_row_is_published(page):
    rows = [attributes.get("class") for tag, attributes in page.elements if tag == "tr"]
    assert rows.count("published") == 1
    assert rows.index("published") == 6  # after the headings


def test_a_cosine_just_below_its_bar_does_not_read_like_the_bar():
    missed = variant(
        "a", "refused", "missed", found=[finding(0.98999999, holds=False)], measured=speed(1, 2, 3)
    )
    kept = variant("b", "published", "best", found=[finding(1 - 1e-9)], measured=speed(1, 2, 3))
    text = page_of(report(missed, kept)).outside_plots
    assert "cosine 0.98999999 (bar ≥ 0.99, missed)" in text
    assert "cosine 0.999999999 (bar ≥ 0.99)" in text


def test_random_samples_are_said_before_any_figure():
    text = page_of(single()).outside_plots
    assert "Mind: Proven on 212 random inputs, not on real ones" in text
    assert text.index("Mind:") < text.index("Variants")
    assert "Mind:" not in page_of(minilm()).text


def test_a_bar_tighter_than_the_model_itself_is_said():
    tight = finding(0.0002, "max_abs <= 0.001", "y", noise=0.003, noise_misses=True)
    text = page_of(report(variant("a", "published", "only", found=[tight]))).outside_plots
    assert "Mind: The source itself misses the bar of y" in text
    assert "Noise floor, the source against itself: 0.003. The source itself misses" in text


def test_what_was_published_without_a_proof_is_said():
    trusted = variant("tensorrt-fp16", "published", "trusted unproven")
    text = page_of(report(trusted)).outside_plots
    assert "Mind: tensorrt-fp16 was published without a proof" in text
    assert "No variant was proven." in text
    assert "Not measured." in text
    assert "nothing was measured" in text


def test_of_many_bars_the_tightest_stands_in_the_table_and_all_in_the_proof():
    bars = [finding(1 - 10.0**-power, output=f"out_{power}") for power in (5, 3, 6, 4)]
    page = page_of(report(variant("a", "published", "x", found=bars, measured=speed(1, 2, 3))))
    (row,) = page.cells("a fp32, onnxruntime")
    assert row[2] == "out_3 cosine 0.999 (bar ≥ 0.99) 3 more kept"
    for power in (3, 4, 5, 6):
        assert page.outside_plots.count(f"out_{power}: cosine ≥ 0.99") == 1


def test_a_missed_bar_outweighs_a_tighter_one_that_is_kept():
    bars = [
        finding(0.9901, output="near"),
        finding(0.5, "metrics.py:f1 >= 0.9", "judged", holds=False),
        finding(0.2, "top1_agreement >= 0.99", "worse", holds=False),
    ]
    other = variant("b", "published", "x", found=[finding(1.0, output="near")])
    page = page_of(report(variant("a", "refused", "x", found=bars), other))
    (row,) = page.cells("a fp32, onnxruntime")
    assert row[2] == "worse top1_agreement 0.2 (bar ≥ 0.99, missed) 1 more missed, 1 more kept"


def test_variants_proven_otherwise_are_told_apart():
    chosen = variant("a", "published", "x", found=[finding(1.0)])
    other = variant("b", "proven", "x", found=[finding(1.0)], real=False)
    text = page_of(report(chosen, other)).outside_plots
    assert "212 real samples, batch sizes 1, 8, 32: a." in text
    assert "212 random samples, batch sizes 1, 8, 32: b." in text


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_whole_and_stands_alone(name):
    page = page_of(ALL[name]())
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    named = [part for value in page.attributes("aria-labelledby") for part in value.split()]
    assert set(named) <= set(ids)
    assert all(link.removeprefix("#") in ids for link in page.attributes("href"))
    assert {"script", "link", "img", "iframe", "object", "base"}.isdisjoint(
        tag for tag, _ in page.elements
    )
    assert page.attributes("src") == page.attributes("style") == []
    assert not re.search(r"url\(|@import|expression", page.style)
    assert "://" not in page.html
    policy = next(v for v in page.attributes("content") if v.startswith("default-src"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("name", ALL)
def test_every_row_has_a_cell_for_every_heading(name):
    page = page_of(ALL[name]())
    width = 0
    for row in page.rows:
        if row[0] in ("Variant", "Instances × threads"):
            width = len(row)
        assert len(row) == width


def test_text_of_unknown_origin_stays_text():
    plain = report(
        variant("a", "published", "x", found=[finding(1.0)], measured=speed(1, 2, 3), how="x"),
        variant("b", "refused", "x", found=[finding(0.1, holds=False)], reasons=("x",)),
    )
    attacked = report(
        variant(
            f"a{HOSTILE}",
            "published",
            HOSTILE,
            found=[finding(1.0, f"{HOSTILE}.py:f >= 1", f"y{HOSTILE}")],
            measured=speed(1, 2, 3).model_copy(update={"why": HOSTILE}),
            how=HOSTILE,
            precision=HOSTILE,
        ),
        variant(
            f"b{HOSTILE}",
            "refused",
            HOSTILE,
            found=[finding(0.1, f"{HOSTILE}.py:f >= 1", f"y{HOSTILE}", holds=False)],
            reasons=(HOSTILE,),
        ),
        **dict.fromkeys(("model", "description", "headline", "objective", "target"), HOSTILE),
        host={HOSTILE: {HOSTILE: [HOSTILE]}},
        libraries={HOSTILE: HOSTILE},
        nosbuild=HOSTILE,
    )
    page, without = page_of(attacked), page_of(plain)
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in without.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert names == {name for _, attributes in without.elements for name in attributes}
    assert page.style == without.style
    assert page.text.count(HOSTILE) > 20


def test_text_that_no_page_can_hold_is_replaced():
    odd = report(
        variant("a\u202e\x00", "published", "x", found=[finding(1.0)], measured=speed(1, 2, 3)),
        headline="é \U0001f600 \x1b[31m",
    ).model_copy(update={"description": "\ud800"})  # which no model accepts from a file
    page = page_of(odd)
    page.html.encode()
    assert {"\x00", "\x1b", "\u202e"}.isdisjoint(page.html)
    assert "é \U0001f600 \ufffd[31m" in page.text


def test_the_same_report_gives_the_same_bytes_in_any_process():
    script = (
        "import sys; from sample_reports import ALL; from nosbuild.report.page import render; "
        "[sys.stdout.buffer.write(render(make(), 2).encode()) for make in ALL.values()]"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    ).stdout
    assert found == "".join(render(make(), 2) for make in ALL.values()).encode()


def test_a_model_without_batches_has_one_column_of_latency():
    page = page_of(single())
    assert "Latency, batch 1" in page.text
    (row,) = page.cells("onnx-fp32 fp32, onnxruntime")
    assert row[1:4] == ["1.2 kB", "y relative 0 (bar ≤ 0.001)", "p50 0.0123 ms p99 0.0148 ms"]


def test_two_outputs_are_both_told():
    (row,) = page_of(forest()).cells("onnx-fp32 fp32, onnxruntime")
    assert row[2] == (
        "label agreement 1 (bar ≥ 1) probabilities allclose(atol=1e-05) excess -9.4e-06 (bar ≤ 0)"
    )


def test_a_report_without_its_published_variant_is_a_bug():
    with pytest.raises(InternalError, match="lacks another"):
        render(report(variant("a", "proven", "x"), published="another"), 1)


def _themes():
    css = page_of(single()).style
    blocks = [dict(re.findall(r"--(\w[\w-]*): (#\w{6});", b)) for b in css.split("@media screen")]
    return {"light": blocks[0], "dark": blocks[1]}


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_color_can_be_read_on_its_ground(theme):
    colors = _themes()[theme]
    grounds = {"good": ("good-page",), "bad": ("bad-page",), "warn": ("warn-page",)}
    words = ("text", "quiet", "fp32", "fp16", "bf16", "int8", "other", "source", *grounds)
    for word in words:
        for ground in ("page", "faint", *grounds.get(word, ())):
            light, dark = sorted(
                (_luminance(colors[word]), _luminance(colors[ground])), reverse=True
            )
            contrast = (light + 0.05) / (dark + 0.05)
            assert contrast >= 4.5, (word, ground, math.floor(10 * contrast) / 10)
