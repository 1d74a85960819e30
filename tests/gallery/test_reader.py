"""ocr: a page, however it lies, to its lines of text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

Task = Callable[[str, str], ModuleType]
Models = Callable[..., Any]


def test_a_slanting_line_gets_a_slanting_box(task: Task) -> None:
    heat = np.zeros((200, 300), dtype=np.float32)
    rows, columns = np.mgrid[:200, :300]
    angle = np.radians(20)
    along = (columns - 150) * np.cos(angle) + (rows - 100) * np.sin(angle)
    down = (rows - 100) * np.cos(angle) - (columns - 150) * np.sin(angle)
    heat[(abs(along) < 80) & (abs(down) < 8)] = 0.9
    heat[5:20, 5:40] = 0.4  # too faint to be text
    (quad,) = task("ocr", "finding").find(heat, (400, 600, 3))  # the page is twice as large
    first, second = quad[1] - quad[0], quad[3] - quad[0]
    assert np.degrees(np.arctan2(first[1], first[0])) == pytest.approx(20, abs=1)
    # 160 x 16 and a pixel or two of stairs, grown by 160 * 16 * 1.6 / (2 * 176) = 11.6 on every
    # side; twice that on the page.
    assert np.linalg.norm(first) == pytest.approx(2 * (160 + 23.3), abs=14)
    assert np.linalg.norm(second) == pytest.approx(2 * (16 + 23.3), abs=14)
    np.testing.assert_allclose(quad.mean(axis=0), (300, 200), atol=4)


def test_what_is_cut_stands_upright(task: Task) -> None:
    cut = task("ocr", "cutting").cut
    page = np.zeros((100, 200, 3), dtype=np.uint8)
    page[40:60, 60:140] = (np.arange(80)[:, None] * 3).astype(np.uint8)  # brighter to the right
    upright = np.array([(60, 40), (140, 40), (140, 60), (60, 60)], dtype=float)
    for turns in range(4):  # the page, and with it the box, a quarter further each time
        turned = np.rot90(page, turns)
        height, width = page.shape[:2]
        quad = upright
        for _ in range(turns):
            quad, height, width = np.stack([quad[:, 1], width - quad[:, 0]], axis=1), width, height
        line = cut(np.ascontiguousarray(turned), quad)
        assert line.shape == (20, 80, 3)
        np.testing.assert_array_equal(line, page[40:60, 60:140])
    beyond = cut(np.full((50, 50, 3), 9, dtype=np.uint8), upright - (70, 0))
    assert (beyond == 9).all(), "outside of the page there is more of its edge"


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 270])
def test_lines_are_read_in_order_however_the_page_lies(task: Task, degrees: int) -> None:
    line = np.array([(0, 0), (40, 0), (40, 10), (0, 10)], dtype=float)
    places = ((0, 0), (60, 3), (0, 20), (50, 18), (0, 40))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    quads = [(line + place) @ turn for place in places]
    shuffled = [3, 0, 4, 1, 2]
    order = task("ocr", "finding").reading_order([quads[index] for index in shuffled])
    assert [shuffled[index] for index in order] == [0, 1, 2, 3, 4]


def test_it_prepares_as_the_models_that_it_calls_were_proven(task: Task) -> None:
    rng = np.random.default_rng(0)
    for shape in ((30, 200, 3), (20, 900, 3), (60, 50, 3)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        for ours, theirs in (
            (task("ocr", "finding").prepare_page, task("ocr_detect", "boxes").prepare),
            (task("ocr", "cutting").prepare_line, task("ocr_recognize", "decode").prepare),
            (task("ocr", "cutting").prepare_direction, task("ocr_direction", "upright").prepare),
        ):
            np.testing.assert_array_equal(ours(image), theirs(image))


def test_its_characters_are_the_network_s_own(task: Task) -> None:
    reader = task("ocr", "reader").Reader(None)
    assert tuple(reader.characters) == task("ocr_recognize", "decode").charset()


def test_a_blank_page_has_no_lines_and_nobody_else_is_asked(task: Task) -> None:
    async def blank(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"heat": np.zeros((1, 1, *x.shape[2:]), dtype=np.float32)}

    reader = task("ocr", "reader").Reader(SimpleNamespace(ocr_detect=SimpleNamespace(aio=blank)))
    lines = asyncio.run(reader(Image.new("L", (100, 60), 255)))
    assert (lines.text, lines.boxes.shape, lines.scores.shape) == ([], (0, 4, 2), (0,))


@pytest.fixture(scope="module")
def clear_bill(task: Task) -> Image.Image:
    """Dark text on nothing."""
    bill = task("ocr", "samples").bill()
    bill.putalpha(bill.convert("L").point(lambda grey: 255 - grey))
    return bill


@pytest.fixture(scope="module")
def reader(task: Task, onnx_models: Models) -> Any:
    networks = "ocr_detect", "ocr_direction", "ocr_recognize"
    return task("ocr", "reader").Reader(onnx_models(*networks))


@pytest.mark.gallery
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -12])
def test_a_bill_is_read_however_it_lies(task: Task, reader: Any, degrees: float) -> None:
    samples = task("ocr", "samples")
    lines = asyncio.run(reader(samples.turned(samples.bill(), degrees)))
    # It may miss the space after a full stop.
    assert [text.replace(" ", "") for text in lines.text] == [
        line.replace(" ", "") for line in samples.BILL
    ]
    assert lines.scores.min() > 0.9
    # From the first corner to the second as the text runs: down the page's y is up for us.
    first = lines.boxes[:, 1] - lines.boxes[:, 0]
    turned = np.degrees(np.arctan2(-first[:, 1], first[:, 0]))
    np.testing.assert_allclose((turned - degrees + 180) % 360 - 180, 0, atol=4)


@pytest.mark.gallery
def test_a_bill_is_read_where_it_is_transparent(
    task: Task, reader: Any, clear_bill: Image.Image
) -> None:
    lines = asyncio.run(reader(clear_bill))
    assert len(lines.text) == len(task("ocr", "samples").BILL)


@pytest.mark.gallery
def test_a_photographed_page_is_read(reader: Any) -> None:
    from skimage import data

    lines = asyncio.run(reader(Image.fromarray(data.page())))
    assert lines.text[0] == "Region-based segmentation"
    assert "".join(lines.text[1:6]).replace(" ", "") == (
        "Letusfirstdeterminemarkersofthecoinsandthebackground.Thesemarkersarepixelsthatwecanlabel"
        "unambiguouslyaseitherobjectorbackground.Here,themarkersarefoundatthetwoextremepartsofthe"
        "histogramofgreyvalues:"
    )
