"""Pages: scanned ones that scikit-image carries, photographs, and rendered text of many sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from boxes import prepare
from PIL import Image, ImageDraw, ImageFont
from skimage import data

LINES = (
    "INVOICE No. 2024-0317",
    "Total due: 1,284.50 EUR",
    "Please pay within 14 days.",
    "Platform 9, departs 18:42",
    "The quick brown fox jumps",
    "over the lazy dog. 0123456789",
    "OPEN  Mon-Fri  8 am - 6 pm",
    "https://example.org/triton",
)
SIZES = (
    (640, 320),
    (640, 320),
    (640, 320),
    (640, 320),
    (320, 320),
    (320, 640),
    (960, 64),
    (64, 32),
)
"""(width, height) of the rendered pages; equal ones can share a batch."""


def render(lines: tuple[str, ...], width: int, height: int, font_size: int) -> np.ndarray:
    """Lines of black text on paper white: uint8[height, width, 3]."""
    page = Image.new("RGB", (width, height), (250, 248, 242))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(font_size)
    for index, line in enumerate(lines):
        pen.text((font_size // 2, font_size * (0.3 + 1.6 * index)), line, (20, 20, 30), font)
    return np.asarray(page)


def pages() -> Iterator[dict[str, np.ndarray]]:
    """One item a page: x, float32[3, height, width], sides of 32 to 960."""
    for scanned in (data.page(), data.text()):
        yield {"x": prepare(np.stack([scanned] * 3, axis=-1))}
    for photograph in (data.coffee(), data.astronaut()):
        yield {"x": prepare(photograph)}
    for index, (width, height) in enumerate(SIZES):
        font_size = min(20 + 4 * index, height * 2 // 3)
        lines = LINES[index % 4 :][: max(1, height // (2 * font_size))]
        rendered = render(lines, width, height, font_size).astype(np.float32)[:, :, ::-1]
        yield {"x": np.ascontiguousarray((rendered / 255 - 0.5).transpose(2, 0, 1) * 2)}
