"""Audio goes in as chunks; speech probabilities of chunks come out as the parts that are speech."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

CHUNK, RATE = 512, 16000
SECONDS = CHUNK / RATE
"""Of a chunk: 32 ms."""

BEGINS, ENDS = 0.5, 0.35
"""Speech begins with a chunk above the first and lasts until one below the second."""
SHORTEST_SPEECH = 0.25
SHORTEST_PAUSE = 0.1


def read_wav(file: Path | str) -> np.ndarray:
    """float32[samples] in -1..1 of a WAV file: 16 bits, one channel, 16 kHz.

    Raises:
        ValueError: any other kind of file.
    """
    with wave.open(str(file)) as opened:
        kind = (opened.getsampwidth(), opened.getnchannels(), opened.getframerate())
        if kind != (2, 1, RATE):
            raise ValueError(f"{file} has {kind} bytes, channels and Hz; (2, 1, {RATE}) is needed")
        data = opened.readframes(opened.getnframes())
    return np.frombuffer(data, np.int16).astype(np.float32) / 32768


def chunks(audio: np.ndarray) -> Iterator[np.ndarray]:
    """float32[512] after another; the last one is filled up with silence."""
    for start in range(0, len(audio), CHUNK):
        chunk = audio[start : start + CHUNK]
        yield np.pad(chunk, (0, CHUNK - len(chunk)))


def segments(probabilities: Sequence[float]) -> list[tuple[float, float]]:
    """Beginning and end, in seconds, of every part that is speech.

    Pauses shorter than 0.1 s are part of it; what is shorter than 0.25 s is none.
    """
    found: list[tuple[int, int]] = []
    begun: int | None = None
    for index, probability in enumerate([*probabilities, 0.0]):
        if begun is None and probability >= BEGINS:
            begun = index
        elif begun is not None and probability < ENDS:
            if found and (begun - found[-1][1]) * SECONDS < SHORTEST_PAUSE:
                begun = found.pop()[0]
            found.append((begun, index))
            begun = None
    return [
        (begin * SECONDS, end * SECONDS)
        for begin, end in found
        if (end - begin) * SECONDS >= SHORTEST_SPEECH
    ]
