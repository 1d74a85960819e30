"""A page and a box go in; the line of text, upright, comes out as the next networks take it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

HEIGHT = 48
SHORTEST, LONGEST, STEP = 320, 960, 160
"""Widths of lines to read; few of them, so that lines of like length share a batch."""
DIRECTION_WIDTH = 192


def cut(page: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """What stands in the box, turned so that the text runs to the right.

    Args:
        page: uint8[height, width, 3], RGB.
        quad: [4, 2], corners (x, y), from where the text begins at its top, clockwise.
    """
    width = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]))
    height = max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]))
    size = (max(1, round(width)), max(1, round(height)))
    corners = quad[[0, 3, 2, 1]].ravel()  # in PIL's order: counter-clockwise
    # Outside of the page there is more of its edge, not black.
    margin = math.ceil(max(0.0, -quad.min(), *(quad.max(axis=0) - page.shape[1::-1]))) + 1
    wider = np.pad(page, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return np.asarray(
        Image.fromarray(wider).transform(
            size, Image.Transform.QUAD, tuple(corners + margin), Image.Resampling.BICUBIC
        )
    )


def prepare_line(line: np.ndarray) -> np.ndarray:
    """As ocr_recognize takes a line.

    Args:
        line: uint8[height, width, 3], RGB.

    Returns:
        float32[3, 48, width], BGR as in training; width is 320, 480, 640, 800 or 960.
    """
    height, width = line.shape[:2]
    fitted = min(LONGEST, math.ceil(HEIGHT * width / height))
    padded = max(SHORTEST, math.ceil(fitted / STEP) * STEP)
    # Not bilinear: small print blurs so much that the network misses its spaces.
    return _normalised(line, fitted, padded, Image.Resampling.BICUBIC)


def prepare_direction(line: np.ndarray) -> np.ndarray:
    """As ocr_direction takes a line: float32[3, 48, 192]."""
    height, width = line.shape[:2]
    fitted = min(DIRECTION_WIDTH, math.ceil(HEIGHT * width / height))
    return _normalised(line, fitted, DIRECTION_WIDTH, Image.Resampling.BILINEAR)


def _normalised(
    line: np.ndarray, fitted: int, padded: int, resampling: Image.Resampling
) -> np.ndarray:
    """Resized to 48 pixels of height, -1..1, BGR, zeros on the right."""
    resized = Image.fromarray(line).resize((fitted, HEIGHT), resampling)
    pixels = np.asarray(resized, dtype=np.float32)[:, :, ::-1]
    prepared = np.zeros((3, HEIGHT, padded), dtype=np.float32)
    prepared[:, :, :fitted] = (pixels / 255 - 0.5).transpose(2, 0, 1) * 2
    return prepared
