"""Real sentences, tokenised: short questions, news, code talk, and long technical prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
from sentences import SENTENCES
from tokenizer import encode

DESCRIPTIONS = ("breast_cancer", "digits", "iris", "kddcup99", "lfw", "olivetti_faces", "wine_data")
"""scikit-learn's descriptions of its data sets: long prose with numbers, names and markup."""


def texts() -> list[str]:
    """Every sample text, in a fixed order."""
    return [*SENTENCES, *_prose()]


def sentences() -> Iterator[dict[str, np.ndarray]]:
    """One item a text: input_ids and attention_mask, int64[seq]."""
    for text in texts():
        batch = encode([text])
        yield {name: array[0] for name, array in batch.items()}


def _prose() -> Iterator[str]:
    """Whole sentences of 40 to 600 characters, tables and headings left out."""
    for name in DESCRIPTIONS:
        page = files("sklearn.datasets.descr").joinpath(f"{name}.rst").read_text(encoding="utf-8")
        for paragraph in re.split(r"\n\s*\n", page):
            if re.search(r"={4}|-{4}|\*{4}|^\s*[:.|]", paragraph):
                continue
            for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", " ".join(paragraph.split())):
                if 40 <= len(sentence) <= 600:
                    yield sentence
