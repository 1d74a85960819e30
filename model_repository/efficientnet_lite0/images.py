"""A photograph goes in; the array that the network takes comes out."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 224


def center_square(image: np.ndarray) -> np.ndarray:
    """The largest square in the middle of an image."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def prepare(image: np.ndarray) -> np.ndarray:
    """Crop to the middle square, resize and normalise as in training: (x - 127) / 128.

    Args:
        image: uint8[height, width, 3], RGB; grey images are uint8[height, width].

    Returns:
        float32[3, 224, 224]
    """
    square = Image.fromarray(center_square(image)).convert("RGB")
    pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1))
