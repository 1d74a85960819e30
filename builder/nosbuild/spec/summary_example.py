"""A model to start from: a plain class, which imports nothing of nosbuild or Triton."""

from __future__ import annotations

import re
from collections.abc import Iterator


class Summary:
    """The first sentences of a text."""

    def __init__(self, sentences: int = 1) -> None:
        """Called once for each copy that Triton runs: load weights here."""
        self.sentences = sentences

    def __call__(self, text: str) -> str:
        """One item in, one item out. Triton takes and gives what the annotations say."""
        return " ".join(self.split(text)[: self.sentences])

    def stream(self, text: str) -> Iterator[str]:
        """A generator becomes a streaming model: each sentence leaves as soon as it is there."""
        yield from self.split(text)

    @staticmethod
    def split(text: str) -> list[str]:
        """The sentences of a text, which end in . ! or ? before a space."""
        return re.split(r"(?<=[.!?])\s+", text.strip())
