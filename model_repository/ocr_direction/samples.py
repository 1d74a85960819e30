"""Lines of text, each upright and upside down: rendered ones, and cuts from a scanned page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from upright import prepare

TEXTS = (
    "EXIT",
    "Gate 17",
    "3.14159",
    "Hello, world!",
    "No smoking",
    "12:45 Zurich",
    "$1,284.50",
    "Invoice 2024-0317",
    "jane.doe@example.com",
    "Please mind the gap",
    "The quick brown fox",
    "Best before 31/12/2026",
    "Sphinx of black quartz, judge my vow",
)
SCANNED = ((11, 34, 5, 294), (45, 67, 3, 379), (62, 86, 2, 380), (111, 142, 1, 177))
"""(top, bottom, left, right) of lines of scikit-image's page."""


def render(text: str, font_size: int) -> np.ndarray:
    """One dark line on paper white with a little room around it: uint8[height, width, 3]."""
    font = ImageFont.load_default(font_size)
    left, top, right, bottom = font.getbbox(text)
    margin = font_size // 4
    size = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    image = Image.new("RGB", size, (250, 248, 242))
    ImageDraw.Draw(image).text((margin - left, margin - top), text, (20, 20, 30), font)
    return np.asarray(image)


def cuts() -> Iterator[np.ndarray]:
    """Every line, upright."""
    for index, text in enumerate(TEXTS):
        yield render(text, 20 + 4 * (index % 6))
    page = np.stack([data.page()] * 3, axis=-1)
    for top, bottom, left, right in SCANNED:
        yield page[top:bottom, left:right]


def lines() -> Iterator[dict[str, np.ndarray]]:
    """Two items a line: x, float32[3, 48, 192], as it is and turned by half."""
    for line in cuts():
        yield {"x": prepare(line)}
        yield {"x": prepare(line[::-1, ::-1])}
