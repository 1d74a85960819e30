"""A line of text goes in as the network takes it; the text it says comes out (CTC)."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

HEIGHT = 48
SHORTEST, LONGEST, STEP = 320, 960, 160
"""Widths of prepared lines; few of them, so that lines of like length share a batch."""
BLANK = 0


def prepare(line: np.ndarray) -> np.ndarray:
    """Resize to 48 pixels of height, normalise to -1..1 and pad on the right.

    Args:
        line: uint8[height, width, 3], RGB.

    Returns:
        float32[3, 48, width], BGR as in training; width is 320, 480, 640, 800 or 960.
    """
    height, width = line.shape[:2]
    fitted = min(LONGEST, math.ceil(HEIGHT * width / height))
    padded = max(SHORTEST, math.ceil(fitted / STEP) * STEP)
    # Not bilinear: small print blurs so much that the network misses its spaces.
    resized = Image.fromarray(line).resize((fitted, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized, dtype=np.float32)[:, :, ::-1]
    prepared = np.zeros((3, HEIGHT, padded), dtype=np.float32)
    prepared[:, :, :fitted] = (pixels / 255 - 0.5).transpose(2, 0, 1) * 2
    return prepared


@lru_cache(maxsize=1)
def charset() -> tuple[str, ...]:
    """The character of every class: blank first, then the model's own list, then the space."""
    # Located, not imported: the package itself would want OpenCV.
    package = distribution("rapidocr-onnxruntime")
    file = package.locate_file("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")
    model = onnx.load(Path(str(file)))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return ("", *metadata["character"].splitlines(), " ")


def decode(probabilities: np.ndarray, characters: tuple[str, ...]) -> tuple[str, float]:
    """The text of one line and the mean probability of its characters (0 for an empty line).

    The best class of every time step; runs of one class count once, blanks separate them.
    Spaces at the ends are the picture's margins, not text.

    Args:
        probabilities: float[time, classes], one line.
        characters: the character of every class, as `charset` gives them.
    """
    best = probabilities.argmax(axis=-1)
    starts = np.ones(len(best), dtype=bool)
    starts[1:] = best[1:] != best[:-1]
    kept = starts & (best != BLANK)
    text = "".join(characters[index] for index in best[kept]).strip()
    return text, float(probabilities.max(axis=-1)[kept].mean()) if text else 0.0
