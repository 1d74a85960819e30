"""Rows that the forest was not trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from forest import split


def rows() -> Iterator[dict[str, np.ndarray]]:
    """Every test row: features, float32[30]."""
    for row in split()[1]:
        yield {"features": row}
