"""A class with a method for each way in and out of the adapter."""

CODE = """\
import asyncio
import dataclasses
import os
import sys
from typing import Annotated, AsyncIterator, Iterator, NamedTuple, TypedDict

import numpy as np
from PIL import Image

import tools


class Scored(TypedDict):
    label: str
    score: Annotated[float, "float32"]


@dataclasses.dataclass
class Stats:
    size: int
    mean: float
    words: list[str]


class Pair(NamedTuple):
    raw: bytes
    odd: bool


class Unspeakable(Exception):
    def __str__(self):
        sys.exit(1)


class Model:
    calls = 0

    def __init__(self, size=2, device="none", models=None):
        print("made", file=sys.stdout)
        os.write(1, b"written past Python")
        if size < 0:
            raise ValueError("size must not be negative")
        self.size, self.device, self.models = size, device, models

    def upper(self, text: str) -> str:
        print(text)
        if "bad" in text:
            raise KeyError(f"no {text}")
        if "exit" in text:
            sys.exit(text)
        return tools.shout(text)

    def kinds(self, raw: bytes, n: int, x: float, yes: bool) -> Pair:
        assert (type(raw), type(n), type(x), type(yes)) == (bytes, int, float, bool)
        return Pair(raw + b"\\0" * n, yes and x > 0)

    def options(self, text: str, times: int = 2, end: str | None = None) -> str:
        return text * times + repr(end)

    def nullable(self, text: str, end: str | None) -> str:
        return text + repr(end)

    def scored(self, text: str) -> Scored:
        return {"label": text, "score": len(text) / 3}

    def stats(self, numbers: Annotated[np.ndarray, "float32[n]"]) -> Stats:
        return Stats(numbers.size, numbers.mean(), [str(n) for n in numbers])

    def image(self, page: Image.Image) -> Annotated[np.ndarray, "uint8[h, w, 3]"]:
        return np.asarray(page.convert("RGB"))

    def thumbnail(self, page: Image.Image) -> Image.Image:
        return page.resize((2, 2))

    def texts(self, words: Annotated[np.ndarray, "string[2]"]) -> list[str]:
        assert all(type(word) is str for word in words)
        return list(words[::-1])

    def doubled(self, x: Annotated[np.ndarray, "float32[batch, 3]"]) -> Annotated[
            np.ndarray, "float32[batch, 3]"]:
        Model.calls += 1
        if (x < 0).any():
            raise ValueError(f"{int((x < 0).sum())} negative of {len(x)}")
        return x * 2

    def sizes(self, texts: list[str], scale: int = 1) -> list[int]:
        return [len(texts) * scale for _ in texts]

    def ragged(self, rows: list[list[int]]) -> list[int]:
        return [sum(row) + 1000 * len(rows) for row in rows]

    def padded(self, ids: Annotated[np.ndarray, "int64[batch, seq]"]) -> Annotated[
            np.ndarray, "int64[batch, seq, 2]"]:
        return np.stack([ids, np.full_like(ids, ids.shape[1])], axis=-1)

    def records(self, texts: list[str]) -> list[Scored]:
        return [self.scored(text) for text in texts]

    def short(self, texts: list[str]) -> list[str]:
        return texts[1:]

    def wrong(self, n: int) -> int:
        return {0: 1.5, 1: None, 2: "text", 3: 2**70, 4: np.int8(4), 5: True}[n]

    def wrong_shape(self, n: int) -> Annotated[np.ndarray, "float32[2]"]:
        return np.zeros(n)

    def unspeakable(self, text: str) -> str:
        raise Unspeakable

    def letters(self, text: str) -> list[str]:
        return list(text)

    def zeros(self, n: int) -> Annotated[np.ndarray, "float32[n]"]:
        return np.zeros(n)

    def grid(self, n: int) -> Annotated[np.ndarray, "float32[n, 2, m]"]:
        return np.ones((n, 2 if n else 3, 4 - n))

    def codes(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]

    def longest(self, texts: list[str]) -> Annotated[np.ndarray, "int64[batch, n]"]:
        rows = self.codes(texts)
        return np.array([row + [-1] * (max(map(len, rows)) - len(row)) for row in rows])

    async def slow_letters(self, text: str) -> list[str]:
        return self.letters(text)

    async def slow(self, text: str) -> str:
        Model.calls += 1
        seen = Model.calls
        if "bad" in text:
            raise ValueError(text)
        await asyncio.sleep(0.05)
        return f"{text} {seen} of {Model.calls}"

    async def slow_batch(self, texts: list[str]) -> list[int]:
        await asyncio.sleep(0)
        return [len(texts)] * len(texts)

    def stream(self, text: str) -> Iterator[str]:
        for letter in text:
            if letter == "!":
                raise ValueError("no shouting")
            yield letter

    async def later(self, text: str) -> AsyncIterator[Scored]:
        for letter in text:
            await asyncio.sleep(0)
            yield {"label": letter, "score": 1}

    def called(self, text: str) -> str:
        answer = self.models.echo(text=[[text]], n=3)
        return answer["text"][0, 0].decode() + self.device

    def called_flat(self, text: str) -> str:
        found = self.models.echo(text=[text])["text"]
        again = self.models.echo(text=np.array([text], object))["text"]
        return f"{found.shape}{again.shape}" + again.item().decode()

    async def called_together(self, text: str) -> str:
        answers = await asyncio.gather(*(self.models["a.b"].aio(text=c) for c in text))
        return "".join(answer["text"].item().decode() for answer in answers)

    def called_stream(self, text: str) -> str:
        chunks = self.models.echo.stream(text=text)
        return "".join(chunk["text"].item().decode() for chunk in chunks)

    def close(self):
        print("closed")
        tools.closed()
"""

TOOLS = """
import pathlib
def shout(text): return text.upper() + "!"
def closed(): pathlib.Path(__file__).with_name("closed").touch()
"""
