"""A line of text goes in as the network takes it; whether it stands on its head comes out."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 192
SURE = 0.9
"""Only what is that surely upside down is turned: most lines of most pages are not."""
# The numbers are RapidOCR's (Cls in its config.yaml).


def prepare(line: np.ndarray) -> np.ndarray:
    """Resize to 48 pixels of height, squeeze to 192 of width, normalise to -1..1, pad on the right.

    Args:
        line: uint8[height, width, 3], RGB.

    Returns:
        float32[3, 48, 192], BGR as in training.
    """
    height, width = line.shape[:2]
    fitted = min(WIDTH, math.ceil(HEIGHT * width / height))
    resized = Image.fromarray(line).resize((fitted, HEIGHT), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, dtype=np.float32)[:, :, ::-1]
    prepared = np.zeros((3, HEIGHT, WIDTH), dtype=np.float32)
    prepared[:, :, :fitted] = (pixels / 255 - 0.5).transpose(2, 0, 1) * 2
    return prepared


def upside_down(probabilities: np.ndarray) -> np.ndarray:
    """Which lines to turn: bool[batch] of float32[batch, 2], upright and upside down."""
    return np.asarray(probabilities[:, 1] > SURE)
