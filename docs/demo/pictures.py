"""A picture for the OCR to read, pictures as files, and as coloured characters in the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from rich.text import Text

PAPER = (250, 247, 238)


def receipt(lines: Sequence[str], degrees: float = 0) -> np.ndarray:
    """Dark lines of text on paper, laid down aslant: uint8[height, width, 3]."""
    page = Image.new("RGB", (480, 30 + 55 * len(lines)), PAPER)
    pen = ImageDraw.Draw(page)
    for index, line in enumerate(lines):
        pen.text((30, 22 + 55 * index), line, (25, 25, 40), ImageFont.load_default(28))
    return np.asarray(page.rotate(degrees, Image.Resampling.BICUBIC, True, fillcolor=PAPER))


def jpeg(image: np.ndarray) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()


def thumbnail(image: np.ndarray, columns: int) -> Text:
    """The image in half blocks: each character shows two pixels, one above the other.

    Args:
        image: uint8[height, width, 3], RGB.
        columns: width in characters.
    """
    rows = max(1, round(columns * image.shape[0] / image.shape[1] / 2))
    pixels = np.asarray(Image.fromarray(image).resize((columns, rows * 2), Image.Resampling.BOX))
    text = Text()
    for row in range(rows):
        for upper, lower in zip(pixels[2 * row], pixels[2 * row + 1], strict=True):
            style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            text.append("▀", style)
        text.append("\n")
    return text
