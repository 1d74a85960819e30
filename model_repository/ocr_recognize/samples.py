"""Lines of text: rendered ones of many lengths and colours, and cuts from a scanned page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from decode import prepare
from PIL import Image, ImageDraw, ImageFont
from skimage import data

TEXTS = (
    "A",
    "42",
    "EXIT",
    "Triton",
    "Gate 17",
    "3.14159",
    "Hello, world!",
    "No smoking",
    "12:45 Zurich",
    "$1,284.50",
    "Invoice 2024-0317",
    "jane.doe@example.com",
    "https://example.org",
    "Please mind the gap",
    "ISBN 978-0-13-110362-7",
    "The quick brown fox",
    "jumps over the lazy dog",
    "Total (incl. 19% VAT): 99.95",
    "Best before 31/12/2026 [lot #7]",
    "Sphinx of black quartz, judge my vow",
    "Pack my box with five dozen liquor jugs!",
    "Five quacking zephyrs jolt my wax bed; 0123456789",
)
SCANNED = (
    (11, 34, 5, 294),
    (45, 67, 3, 379),
    (62, 86, 2, 380),
    (79, 105, 2, 380),
    (95, 124, 1, 381),
    (111, 142, 1, 177),
    (161, 191, 10, 248),
)
"""(top, bottom, left, right) of the lines of scikit-image's page."""
COLOURS = (
    ((20, 20, 30), (250, 248, 242)),
    ((240, 240, 240), (30, 60, 110)),
    ((150, 0, 0), (255, 235, 60)),
)
"""(ink, paper), RGB."""


def render(text: str, font_size: int, ink: tuple[int, ...], paper: tuple[int, ...]) -> np.ndarray:
    """One line of text with a little room around it: uint8[height, width, 3]."""
    font = ImageFont.load_default(font_size)
    left, top, right, bottom = font.getbbox(text)
    margin = font_size // 4
    size = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, ink, font)
    return np.asarray(image)


def scanned() -> Iterator[np.ndarray]:
    """The lines of the scanned page, cut where ocr_detect finds them."""
    page = np.stack([data.page()] * 3, axis=-1)
    for top, bottom, left, right in SCANNED:
        yield page[top:bottom, left:right]


def lines() -> Iterator[dict[str, np.ndarray]]:
    """One item a line: x, float32[3, 48, width]."""
    for index, text in enumerate(TEXTS):
        for shift in range(2):
            ink, paper = COLOURS[(index + shift) % len(COLOURS)]
            yield {"x": prepare(render(text, 24 + 16 * shift, ink, paper))}
    for line in scanned():
        yield {"x": prepare(line)}
