"""Strings as Triton carries them, which is bytes, go in; text comes out where it is text."""

from __future__ import annotations

import numpy as np


def as_text(array: np.ndarray) -> np.ndarray:
    """Bytes of UTF-8 as text; an array that holds anything else as it is."""
    if array.dtype != object or not any(isinstance(value, bytes) for value in array.flat):
        return array
    text = np.empty(array.shape, dtype=object)
    try:
        for index, value in np.ndenumerate(array):
            text[index] = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return array
    return text
