"""A class that streams, as several Triton models; what its generators do is told in files."""

from __future__ import annotations

from pathlib import Path

import python_versions

CODE = '''
from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from pathlib import Path
from typing import Annotated, AsyncIterator, Iterator

import numpy as np


@dataclasses.dataclass
class Step:
    number: int
    tag: str
    pid: int


class Model:
    """Each stream notes what it does in a file of the name ``tag``.

    From the step ``waits_at`` on it waits before each step: for a file of the name ``tag`` with
    ".go" behind it, which frees all of them, or with ".go" and the step's number.
    """

    def __init__(self, notes: str):
        self.notes = Path(notes)

    def note(self, tag: str, word: str) -> None:
        with (self.notes / tag).open("a") as file:
            file.write(f"{word}\\n")

    def is_held(self, tag: str, number: int, waits_at: int) -> bool:
        if not 0 <= waits_at <= number:
            return False
        if any((self.notes / f"{tag}.go{which}").exists() for which in ("", number)):
            return False
        file = self.notes / tag
        if not (file.exists() and file.read_text().endswith("waits\\n")):
            self.note(tag, "waits")
        return True

    def step(self, tag: str, number: int, fails_at: int) -> Step:
        if number == fails_at:
            raise ValueError(f"{tag} cannot count to {number}")
        self.note(tag, f"step {number}")
        return Step(number, tag, os.getpid())

    def count(self, tag: str, n: int, waits_at: int = -1, fails_at: int = -1) -> Iterator[Step]:
        try:
            for number in range(n):
                while self.is_held(tag, number, waits_at):
                    time.sleep(0.005)
                yield self.step(tag, number, fails_at)
        finally:
            self.note(tag, "closed")

    async def count_async(
        self, tag: str, n: int, waits_at: int = -1, fails_at: int = -1
    ) -> AsyncIterator[Step]:
        try:
            for number in range(n):
                while self.is_held(tag, number, waits_at):
                    await asyncio.sleep(0.005)
                yield self.step(tag, number, fails_at)
        finally:
            self.note(tag, "closed")

    def blocks(self, tag: str, n: int) -> Iterator[Annotated[np.ndarray, "uint8[size]"]]:
        try:
            for number in range(n):
                self.note(tag, f"step {number}")
                yield np.full(65536, number % 251, np.uint8)
        finally:
            self.note(tag, "closed")
'''

LEGS = 'parameters { key: "stream_legs" value { string_value: "1" } }\n'
LIMIT = 'parameters { key: "stream_limit_mib" value { string_value: "8" } }\n'
TWO = "instance_group { count: 2 kind: KIND_CPU }\n"


def write_models(repository: Path, notes: Path) -> None:
    """``count`` and ``count_async``; ``blocks`` of 64 kB, and the same with two instances."""
    notes.mkdir()
    for name, method, more in (
        ("count", "count", ""),
        ("count_async", "count_async", ""),
        ("blocks", "blocks", LIMIT),
        ("blocks_of_two", "blocks", TWO),
    ):
        init = {"notes": str(notes)}
        python_versions.model(repository, name, CODE, more=LEGS + more, method=method, init=init)
