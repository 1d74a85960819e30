"""Photographs that scikit-image and scikit-learn carry, whole and in part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from images import prepare
from skimage import data
from sklearn.datasets import load_sample_image

SKIMAGE = ("astronaut", "camera", "chelsea", "clock", "coffee", "coins", "rocket")
TEXTURES = ("brick", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "moon")
SKLEARN = ("china.jpg", "flower.jpg")


def photographs() -> Iterator[np.ndarray]:
    """uint8 images, RGB or grey, in a fixed order."""
    for name in (*SKIMAGE, *TEXTURES):
        yield getattr(data, name)()
    for name in SKLEARN:
        yield load_sample_image(name)


def crops() -> Iterator[dict[str, np.ndarray]]:
    """Five items a photograph: its middle and its four corners."""
    for photograph in photographs():
        height, width = (size * 2 // 3 for size in photograph.shape[:2])
        corners = (
            photograph[:height, :width],
            photograph[:height, -width:],
            photograph[-height:, :width],
            photograph[-height:, -width:],
        )
        for part in (photograph, *corners):
            yield {"image": prepare(part)}
