"""Items and the source's answers go in; ``golden/NNN.npz`` files come out, and go back in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GOLDEN_ITEMS = 32
"""How many samples are kept beside a model, to be replayed through the running server."""


Arrays = dict[str, np.ndarray]
Answer = Arrays | Sequence[Arrays]
"""Outputs by name; of a model that streams, those of every chunk."""

_IN, _OUT, _COUNT, _CHUNK = "in.", "out.", "chunks", "chunk."
_BYTES, _LENGTHS = "bytes:", "lengths:"


@dataclass(frozen=True)
class GoldenSample:
    """One item (no batch axis) and what the source model answered."""

    inputs: Arrays
    outputs: Arrays
    """Empty for a model that streams."""
    chunks: tuple[Arrays, ...] | None = None
    """What a model that streams answered, one after the other; None for any other."""


def write_golden(folder: Path, items: Sequence[Arrays], answers: Sequence[Answer]) -> None:
    """One npz a sample: ``in.<name>``, and ``out.<name>`` or ``chunk.<number>.<name>``.

    Strings are stored as fixed-width unicode; bytes that are no text one after the other
    (``bytes:``), with the length of each (``lengths:``), since numpy cuts zeros off their ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
        arrays = {_IN + name: array for name, array in item.items()}
        if isinstance(answer, dict):
            arrays |= {_OUT + name: array for name, array in answer.items()}
        else:
            arrays[_COUNT] = np.array(len(answer))
            for number, chunk in enumerate(answer):
                arrays |= {f"{_CHUNK}{number}.{name}": array for name, array in chunk.items()}
        stored = dict(part for key, array in arrays.items() for part in _storable(key, array))
        np.savez(folder / f"{index:03}.npz", **stored)  # type: ignore[arg-type]


def read_golden(folder: Path) -> list[GoldenSample]:
    """Every sample of a folder, in order; an empty list where there is none."""
    return [_read(path) for path in sorted(folder.glob("*.npz"))]


def _read(path: Path) -> GoldenSample:
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(_restored({name: stored[name] for name in stored.files}))
    inputs = {key[len(_IN) :]: a for key, a in arrays.items() if key.startswith(_IN)}
    outputs = {key[len(_OUT) :]: a for key, a in arrays.items() if key.startswith(_OUT)}
    if _COUNT not in arrays:
        return GoldenSample(inputs, outputs)
    chunks: list[Arrays] = [{} for _ in range(int(arrays[_COUNT]))]
    for key, array in arrays.items():
        if key.startswith(_CHUNK):
            number, _, name = key[len(_CHUNK) :].partition(".")
            chunks[int(number)][name] = array
    return GoldenSample(inputs, outputs, tuple(chunks))


def _storable(key: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if array.dtype != object:
        yield key, array
    elif not any(isinstance(value, bytes) for value in array.flat):
        yield key, np.asarray(array).astype(str)
    else:
        parts = [v if isinstance(v, bytes) else str(v).encode() for v in array.flat]
        lengths = np.array([len(part) for part in parts], np.int64).reshape(array.shape)
        yield _BYTES + key, np.frombuffer(b"".join(parts), np.uint8)
        yield _LENGTHS + key, lengths


def _restored(stored: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    for key, array in stored.items():
        if key.startswith(_BYTES):
            name = key[len(_BYTES) :]
            yield name, _split(array.tobytes(), stored[_LENGTHS + name])
        elif not key.startswith(_LENGTHS):
            yield key, array.astype(object) if array.dtype.kind == "U" else array


def _split(data: bytes, lengths: np.ndarray) -> np.ndarray:
    found = np.empty(lengths.shape, dtype=object)
    start = 0
    for index, length in np.ndenumerate(lengths):
        found[index] = data[start : start + int(length)]
        start += int(length)
    return found
