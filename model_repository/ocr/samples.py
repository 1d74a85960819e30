"""Pages as files: a scan, rendered bills upright, aslant and upside down, and one without text."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

BILL = (
    "INVOICE No. 2024-0317",
    "Total due: 1,284.50 EUR",
    "Please pay within 14 days.",
    "Platform 9, departs 18:42",
    "The quick brown fox jumps",
    "over the lazy dog. 0123456789",
)
PAPER, INK = (250, 248, 242), (20, 20, 30)
TURNS = (0, 180, 90, -12)
"""Degrees, counter-clockwise."""


def bill(lines: tuple[str, ...] = BILL, font_size: int = 28) -> Image.Image:
    """Dark lines on paper white."""
    pitch = font_size * 7 // 4
    page = Image.new("RGB", (font_size * 22, pitch * len(lines) + font_size), PAPER)
    pen = ImageDraw.Draw(page)
    for index, line in enumerate(lines):
        pen.text(
            (font_size, font_size // 2 + pitch * index),
            line,
            INK,
            ImageFont.load_default(font_size),
        )
    return page


def turned(page: Image.Image, degrees: float) -> Image.Image:
    """The page turned, on a larger one that holds it."""
    return page.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=PAPER)


def file(page: Image.Image, form: str = "PNG") -> bytes:
    """The bytes of an image file."""
    out = io.BytesIO()
    page.save(out, form, quality=95)
    return out.getvalue()


def pages() -> Iterator[dict[str, np.ndarray]]:
    """One item a page: image, the bytes of a JPEG or PNG."""
    found = [file(Image.fromarray(data.page()))]
    found += [file(turned(bill(), degrees), "JPEG") for degrees in TURNS]
    found += [file(bill(BILL[1:3], 20)), file(Image.new("L", (200, 100), 255))]
    for content in found:
        yield {"image": np.array(content, dtype=object)}
