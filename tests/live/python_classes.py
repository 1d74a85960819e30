"""Classes as users write them, for the live tests of the adapter."""

FRAGILE = '''
import os
from typing import TypedDict


class Answer(TypedDict):
    text: str
    worker: int


class Fragile:
    """One item at a time; its process id with every answer."""

    def __call__(self, text: str) -> Answer:
        if text.startswith("bad"):
            raise ValueError(f"cannot read {text}")
        if text.startswith("odd"):
            raise ValueError(f"{text} \\udcff")  # a text that is no UTF-8
        if text.startswith("exit"):
            raise SystemExit(text)
        return {"text": text.upper(), "worker": os.getpid()}
'''

BATCHES = """
from typing import Annotated, NamedTuple

import numpy as np


class Seen(NamedTuple):
    doubled: Annotated[np.ndarray, "float32[batch, n]"]
    rows: list[int]


class Batches:
    def __call__(self, x: Annotated[np.ndarray, "float32[batch, n]"], times: int = 2) -> Seen:
        if (x < 0).any():
            raise ValueError(f"negative: {x.min():.0f}")
        return Seen(x * times, [len(x)] * len(x))
"""

KINDS = """
import dataclasses
from typing import Annotated

import numpy as np


@dataclasses.dataclass
class Kinds:
    raw: bytes
    total: Annotated[float, "float32"]
    truth: bool
    words: list[str]
    counts: Annotated[np.ndarray, "int64[2]"]


class Model:
    def __call__(self, raw: bytes, n: int, x: float, yes: bool, words: list[str]) -> Kinds:
        return Kinds(raw[::-1], n + x, not yes, [w.upper() for w in words], np.full(2, n))
"""

IMAGES = """
import sys
from typing import Annotated

import numpy as np
from PIL import Image


class Images:
    def __call__(self, image: Image.Image) -> Annotated[np.ndarray, "uint8[h, w, 3]"]:
        return np.asarray(image.convert("RGB"))

    def python(self, text: str) -> str:
        return sys.prefix + text
"""

SLOW = """
import asyncio
import time


class Slow:
    async def __call__(self, text: str) -> str:
        begun = time.monotonic()
        await asyncio.sleep(0.2)
        return f"{begun} {time.monotonic()}"
"""

CALLER = """
import asyncio
from typing import Annotated, TypedDict

import numpy as np


class Called(TypedDict):
    sums: Annotated[np.ndarray, "float32[4]"]
    texts: list[str]
    error: str


class Caller:
    def __init__(self, models, times: int):
        self.models = models
        self.times = times

    def plain(self, x: Annotated[np.ndarray, "float32[4]"]) -> Called:
        sums = x[None]
        for _ in range(self.times):
            sums = self.models.add_one(x=sums)["y"]
        answer = self.models["fragile"](text=[["a"], ["b"]])
        try:
            self.models.fragile(text="bad one")
        except RuntimeError as error:
            said = str(error)
        texts = [text.decode() for text in answer["text"][:, 0]]
        return {"sums": sums[0], "texts": texts, "error": said}

    async def awaited(self, x: Annotated[np.ndarray, "float32[4]"]) -> Called:
        rows = [x[None] + i for i in range(self.times)]
        answers = await asyncio.gather(*(self.models.add_one.aio(x=row) for row in rows))
        answer = await self.models.fragile.aio(text="c")
        try:
            await self.models.nowhere.aio(x=x)
        except RuntimeError as error:
            said = str(error)
        texts = [answer["text"].item().decode()]
        return {"sums": answers[-1]["y"][0], "texts": texts, "error": said}
"""

SPEAKER = """
from collections.abc import Iterator
from pathlib import Path


class Speaker:
    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, text: str) -> Iterator[str]:
        made = 0
        try:
            for word in text.split():
                if word == "stop":
                    raise ValueError("told to stop")
                for _ in range(1_000_000 if word == "endless" else 1):
                    made += 1
                    yield word * (1 << 16 if word == "endless" else 1)
        finally:
            (self.folder / "made").write_text(str(made))
"""

LISTENER = """
class Listener:
    def __init__(self, models):
        self.speaker = models.speaker

    def plain(self, text: str, most: int = 1000) -> str:
        words = []
        for chunk in self.speaker.stream(text=text):
            words.append(chunk["output"].item()[:7].decode())
            if len(words) == most:
                break
        return "|".join(words)

    async def awaited(self, text: str, most: int = 1000) -> str:
        words = []
        async for chunk in self.speaker.stream(text=text):
            words.append(chunk["output"].item()[:7].decode())
            if len(words) == most:
                break
        return "|".join(words)
"""

CLOSING = """
from pathlib import Path


class Closing:
    def __init__(self, folder, device="none"):
        self.folder = Path(folder)
        self.device = device

    def __call__(self, text: str) -> str:
        return self.device

    async def close(self):
        (self.folder / "closed").write_text(self.device)
"""
