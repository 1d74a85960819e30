"""Items and the source's answers go in; ``golden/NNN.npz`` files come out, and go back in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GOLDEN_ITEMS = 32
"""How many samples are kept beside a model, to be replayed through the running server."""


@dataclass(frozen=True)
class GoldenSample:
    """One item (no batch axis) and what the source model answered."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def write_golden(
    folder: Path, items: Sequence[dict[str, np.ndarray]], answers: Sequence[dict[str, np.ndarray]]
) -> None:
    """One npz a sample: ``in.<name>`` and ``out.<name>``; strings as fixed-width unicode."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
        arrays = {f"in.{name}": _storable(array) for name, array in item.items()}
        arrays |= {f"out.{name}": _storable(array) for name, array in answer.items()}
        np.savez(folder / f"{index:03}.npz", **arrays)  # type: ignore[arg-type]


def read_golden(folder: Path) -> list[GoldenSample]:
    """Every sample of a folder, in order; an empty list where there is none."""
    samples = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: _restored(stored[name]) for name in stored.files}
        samples.append(
            GoldenSample(
                {name[3:]: a for name, a in arrays.items() if name.startswith("in.")},
                {name[4:]: a for name, a in arrays.items() if name.startswith("out.")},
            )
        )
    return samples


def _storable(array: np.ndarray) -> np.ndarray:
    return np.asarray(array).astype(str) if array.dtype == object else array


def _restored(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind == "U" else array
