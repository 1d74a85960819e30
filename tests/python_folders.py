"""Model folders of Python classes, written from strings."""

from __future__ import annotations

import textwrap
from pathlib import Path

WORDS = """
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np


@dataclasses.dataclass
class Parts:
    words: list[str]
    lengths: Annotated[np.ndarray, "int64[n]"]


class Words:
    def __init__(self, mark: str = "!", device: str = "none"):
        assert device == "cpu"
        self.mark = mark + Path(__file__).with_name("mark.txt").read_text()

    def __call__(self, text: str, times: int = 1) -> Parts:
        words = [word + self.mark for word in text.split() * times]
        return Parts(words, np.array([len(word) for word in words], np.int64))

    def scaled(self, x: Annotated[np.ndarray, "float32[batch, 2]"], by: float = 2.0
               ) -> Annotated[np.ndarray, "float32[batch]"]:
        return (x * np.float32(by)).sum(1)

    def padded(self, ids: Annotated[np.ndarray, "int64[batch, seq]"]) -> list[int]:
        return [int(row.sum()) for row in ids]

    def reverse(self, data: bytes) -> bytes:
        return data[::-1]

    def stream(self, text: str) -> Iterator[str]:
        yield from text.split()

    async def later(self, text: str) -> str:
        return text + self.mark
"""
WORDS_YAML = """
source: {python: "model.py:Words", init: {mark: "?"}}
methods: [__call__, scaled, padded, reverse, stream, later]
pad: {ids: 0}
dims: {batch: 1..2..4}
samples: "samples.py:samples"
quality: {relative: 0.001, words: {agreement: 1.0}}
"""
WORDS_SAMPLES = """
import numpy as np

def samples():
    for n, text in enumerate(["one", "two words", "größer, so groß", "a b c d"]):
        yield {"text": text}
        yield {"text": text, "times": n}
        yield {"x": np.array([n, 1], np.float32)}
        yield {"x": np.array([n, 1], np.float32), "by": 3}
        yield {"ids": np.arange(n + 1)}
        yield {"data": bytes([n, 0, 255, 0])}
"""


def write_class(folder: Path, code: str, yaml: str = "", samples: str = "", **files: str) -> Path:
    """model.yaml, model.py and samples.py; ``mark="x"`` writes mark.txt."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(textwrap.dedent(code))
    head = f"name: {folder.name}\n"
    if "source:" not in yaml:
        head += 'source: {python: "model.py:Model"}\n'
    if samples:
        (folder / "samples.py").write_text(textwrap.dedent(samples))
        if "samples:" not in yaml:
            head += 'samples: "samples.py:samples"\n'
    (folder / "model.yaml").write_text(head + textwrap.dedent(yaml))
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def write_words(folder: Path) -> Path:
    """A class whose methods take and give all kinds of things."""
    return write_class(folder, WORDS, WORDS_YAML, WORDS_SAMPLES, mark="!")
