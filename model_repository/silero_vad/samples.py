"""Streams of real audio: a recorded sentence, quieter, noisier, in pieces, and no speech at all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from itertools import islice

import numpy as np
from speech import RATE, chunks, read_wav

LENGTH = 48
"""Chunks of each stream: a second and a half."""


def recording() -> np.ndarray:
    """Ten seconds of someone reading Beckett: float32[samples] at 16 kHz."""
    package = distribution("useful-moonshine-onnx")
    return read_wav(str(package.locate_file("moonshine_onnx/assets/beckett.wav")))


def streams() -> Iterator[list[dict[str, np.ndarray]]]:
    """One list a stream, in which every chunk follows the one before."""
    audio = recording()
    noise = np.random.default_rng(0).normal(0, 0.01, len(audio)).astype(np.float32)
    quarter = len(audio) // 4
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(quarter, dtype=np.float32) / RATE)
    pieces = [
        *(audio[quarter * number :] for number in range(4)),
        0.1 * audio[quarter:],
        audio[2 * quarter :] + noise[2 * quarter :],
        noise,
        hum.astype(np.float32),
    ]
    for piece in pieces:
        yield [{"audio": chunk} for chunk in islice(chunks(piece), LENGTH)]
