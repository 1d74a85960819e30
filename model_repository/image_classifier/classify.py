"""Pictures go in; the names of what is in them come out. efficientnet_lite0 does the seeing."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numpy as np
from labels import LABELS
from PIL import Image, ImageOps

SIDE = 224
TOP = 5


class Classes(TypedDict):
    """The likeliest classes of every picture, best first."""

    label: Annotated[np.ndarray, "string[batch, 5]"]
    score: Annotated[np.ndarray, "float32[batch, 5]"]
    """Probabilities."""


class Classifier:
    """Prepares pictures, has ``models.efficientnet_lite0`` look at them, and names what it saw."""

    def __init__(self, models: Any) -> None:
        self.models = models
        self.labels = np.array(LABELS, dtype=object)

    def __call__(self, image: list[Image.Image]) -> Classes:
        pixels = np.stack([prepare(picture) for picture in image])
        logits = self.models.efficientnet_lite0(image=pixels)["logits"]
        likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability = likelihood / likelihood.sum(axis=1, keepdims=True)
        best = np.argsort(-probability, axis=1, kind="stable")[:, :TOP]
        return {
            "label": self.labels[best],
            "score": np.take_along_axis(probability, best, axis=1),
        }


def prepare(picture: Image.Image) -> np.ndarray:
    """The middle square, resized and normalised as in training, (x - 127) / 128.

    Returns:
        float32[3, 224, 224], RGB.
    """
    picture = ImageOps.exif_transpose(picture)  # as the camera was held
    side = min(picture.size)
    left, top = ((size - side) // 2 for size in picture.size)
    square = picture.convert("RGB").crop((left, top, left + side, top + side))
    pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1))
