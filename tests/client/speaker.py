"""A class with several methods, built by nosbuild, and the small models that go with it."""

from __future__ import annotations

CODE = """
    from collections.abc import Iterator
    from typing import Annotated

    import numpy as np


    class Speaker:
        def __call__(self, text: str) -> str:
            return text.upper()

        def count(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

        def scaled(self, x: Annotated[np.ndarray, "float32[2]"], by: float = 2.0
                   ) -> Annotated[np.ndarray, "float32[2]"]:
            return x * np.float32(by)

        def stream(self, text: str) -> Iterator[str]:
            yield from text.split()
"""
YAML = """
description: Speaks up.
source: {python: "model.py:Speaker"}
methods: [__call__, count, scaled, stream]
samples: "samples.py:samples"
"""
SAMPLES = """
    import numpy as np

    def samples():
        for n, text in enumerate(["one", "two words", "a b c"]):
            yield {"text": text, "texts": text, "x": np.array([n, 1], np.float32)}
"""
SMALL = ["echo", "failing", "narrow", "scalar", "slow", "ticker", "totals"]
