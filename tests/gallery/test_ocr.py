"""ocr_detect and ocr_recognize: pages to boxes, lines to text."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import distribution
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Task = Callable[[str, str], ModuleType]


def session(file: str) -> Any:
    import onnxruntime

    path = distribution("rapidocr-onnxruntime").locate_file(f"rapidocr_onnxruntime/models/{file}")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_boxes_around_bright_regions_in_reading_order(task: Task) -> None:
    boxes = task("ocr_detect", "boxes")
    heat = np.zeros((1, 96, 192), dtype=np.float32)
    heat[0, 12:20, 100:160] = 0.9  # first line, right; a little higher than its neighbour
    heat[0, 14:22, 20:80] = 0.8  # first line, left
    heat[0, 60:68, 40:120] = 0.7  # second line
    heat[0, 85:90, 0:40] = 0.4  # a region, but too faint to be text
    found = boxes.find(heat, (192, 384, 3))  # the page is twice as large
    for box, middle in zip(found, (50, 130, 80), strict=True):
        assert box.left / 2 < middle < box.right / 2
    first = found[0]
    assert first.score == pytest.approx(0.8, abs=0.05)
    # Grown by one pixel to the top left, the region is 61 x 9 at (19, 13): a margin of
    # 61 * 9 * 1.6 / (2 * (61 + 9)) = 6.27 pixels all around, twice that on the page.
    assert (first.left, first.top, first.right, first.bottom) == (25, 13, 173, 57)


def test_boxes_stay_on_the_page(task: Task) -> None:
    (box,) = task("ocr_detect", "boxes").find(np.ones((64, 64), dtype=np.float32), (64, 64, 3))
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 64, 64)


def test_an_empty_page_has_no_boxes(task: Task) -> None:
    assert task("ocr_detect", "boxes").find(np.zeros((1, 64, 64), np.float32), (64, 64, 3)) == []


@pytest.mark.parametrize("shape", [(20, 900), (900, 20), (191, 384), (960, 960), (4000, 3000)])
def test_prepared_pages_are_multiples_of_32_within_the_dims(
    task: Task, shape: tuple[int, int]
) -> None:
    prepared = task("ocr_detect", "boxes").prepare(np.zeros((*shape, 3), dtype=np.uint8))
    assert all(32 <= side <= 960 and side % 32 == 0 for side in prepared.shape[1:])
    assert (prepared == -1).all()


def test_colours_are_turned_to_bgr(task: Task) -> None:
    red = np.zeros((48, 48, 3), dtype=np.uint8)
    red[:, :, 0] = 255
    for prepared in (
        task("ocr_detect", "boxes").prepare(red),
        task("ocr_recognize", "decode").prepare(red)[:, :, :48],
    ):
        assert [channel.mean() for channel in prepared] == [-1, -1, 1]


@pytest.mark.parametrize(
    ("width", "padded"), [(10, 320), (320, 320), (321, 480), (960, 960), (2000, 960)]
)
def test_lines_are_padded_to_few_widths(task: Task, width: int, padded: int) -> None:
    line = np.full((48, width, 3), 255, dtype=np.uint8)
    prepared = task("ocr_recognize", "decode").prepare(line)
    assert prepared.shape == (3, 48, padded)
    assert (prepared[:, :, : min(width, 960)] == 1).all()
    assert (prepared[:, :, width:] == 0).all()


def test_ctc_merges_runs_and_drops_blanks(task: Task) -> None:
    decode = task("ocr_recognize", "decode").decode
    steps = np.array([0, 1, 1, 0, 1, 2, 2, 2, 0, 3])  # -, a a, -, a, b b b, -, space
    probabilities = np.full((len(steps), 4), 0.1, dtype=np.float32)
    probabilities[np.arange(len(steps)), steps] = 0.7
    text, score = decode(probabilities, ("", "a", "b", " "))
    assert text == "aab"
    assert score == pytest.approx(0.7)


def test_nothing_but_blanks_is_an_empty_line(task: Task) -> None:
    decode = task("ocr_recognize", "decode").decode
    assert decode(np.array([[0.9, 0.1]] * 5), ("", "a")) == ("", 0.0)


def test_the_charset_has_a_character_for_every_class(task: Task) -> None:
    charset = task("ocr_recognize", "decode").charset()
    assert len(charset) == 6625
    assert (charset[0], charset[-1]) == ("", " ")
    assert set("abcxyzABCXYZ0123456789.,:@/") <= set(charset)


@pytest.mark.gallery
@pytest.mark.parametrize("font_size", [22, 28, 36])
def test_a_rendered_page_is_found_and_read(task: Task, font_size: int) -> None:
    boxes, decode = task("ocr_detect", "boxes"), task("ocr_recognize", "decode")
    lines = ("Total due: 1,284.50 EUR", "The quick brown fox jumps", "https://example.org/triton")
    page = task("ocr_detect", "samples").render(lines, 640, 240, font_size)
    detector = session("ch_PP-OCRv4_det_infer.onnx")
    recognizer = session("ch_PP-OCRv4_rec_infer.onnx")
    (heat,) = detector.run(None, {"x": boxes.prepare(page)[None]})
    read = []
    for box in boxes.find(heat[0], page.shape):
        (steps,) = recognizer.run(None, {"x": decode.prepare(box.cut(page))[None]})
        read.append(decode.decode(steps[0], decode.charset())[0])
    assert tuple(read) == lines


@pytest.mark.gallery
def test_rendered_samples_are_read_to_the_letter(task: Task) -> None:
    samples, decode = task("ocr_recognize", "samples"), task("ocr_recognize", "decode")
    recognizer = session("ch_PP-OCRv4_rec_infer.onnx")
    read = []
    for item, _ in zip(samples.lines(), range(2 * len(samples.TEXTS)), strict=False):
        (steps,) = recognizer.run(None, {"x": item["x"][None]})
        read.append(decode.decode(steps[0], decode.charset())[0])
    assert read == [text for text in samples.TEXTS for _ in range(2)]
