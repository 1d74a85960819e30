"""Photographs that scikit-image and scikit-learn carry, as files: JPEG, and PNG where grey."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

COLOURED = ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry")
GREY = ("camera", "clock", "coins", "brick", "grass", "gravel", "moon")
SKLEARN = ("china.jpg", "flower.jpg")


def file(photograph: np.ndarray, form: str) -> bytes:
    """The bytes of an image file."""
    out = io.BytesIO()
    Image.fromarray(photograph).save(out, form, quality=92)
    return out.getvalue()


def pictures() -> Iterator[dict[str, np.ndarray]]:
    """One item a photograph: image, the bytes of a file."""
    found = [file(getattr(data, name)(), "JPEG") for name in COLOURED]
    found += [file(getattr(data, name)(), "PNG") for name in GREY]
    found += [file(load_sample_image(name), "JPEG") for name in SKLEARN]
    for content in found:
        yield {"image": np.array(content, dtype=object)}
