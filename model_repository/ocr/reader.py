"""A page goes in; its lines of text, in reading order, come out. Three other models see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cutting import cut, prepare_direction, prepare_line
from finding import find, prepare_page, reading_order
from PIL import Image, ImageOps

BATCH = 16
"""Rows that ocr_direction and ocr_recognize take at once."""
UPSIDE_DOWN = 0.9
"""Lines that ocr_direction holds so surely for upside down are turned before they are read."""
CLEAR, LEGIBLE = 0.8, 0.5
"""Mean probability of a line's characters: below the first it is read the other way round as well,
and below the second it is no text."""


@dataclass(frozen=True)
class Lines:
    """The lines of a page; all three have as many rows."""

    text: list[str]
    boxes: Annotated[np.ndarray, "float32[lines, 4, 2]"]
    """Corners (x, y) in pixels, from where the text begins at its top, clockwise."""
    scores: Annotated[np.ndarray, "float32[lines]"]
    """Mean probability of the line's characters."""


class Reader:
    """Finds the lines of a page, turns them upright and reads them.

    ``models`` calls ocr_detect, ocr_direction and ocr_recognize: given by the server, or by a
    test: anything with these attributes, each with an ``aio(x=array)`` to await.
    """

    def __init__(self, models: Any) -> None:
        self.models = models
        file = Path(__file__).with_name("characters.txt")
        # The classes of ocr_recognize: the blank, its own list, the space.
        self.characters = np.array(["", *file.read_text(encoding="utf-8").split("\n"), " "])

    async def __call__(self, image: Image.Image) -> Lines:
        page = np.asarray(_on_paper(image))
        (heat,) = (await self.models.ocr_detect.aio(x=prepare_page(page)[None])).values()
        quads = find(heat[0, 0], page.shape)
        if not quads:
            return Lines([], np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
        cuts = [cut(page, quad) for quad in quads]
        turned = await self._upside_down(cuts)
        upright = [_turned(line) if t else line for line, t in zip(cuts, turned, strict=True)]
        read = await self._read(upright)
        unclear = [index for index, (_, score) in enumerate(read) if score < CLEAR]
        again = await self._read([_turned(upright[index]) for index in unclear])
        for index, other in zip(unclear, again, strict=True):
            if other[1] > read[index][1]:
                read[index], turned[index] = other, not turned[index]
        quads = [np.roll(quad, 2 * t, axis=0) for quad, t in zip(quads, turned, strict=True)]
        kept = [index for index, (_, score) in enumerate(read) if score >= LEGIBLE]
        order = [kept[place] for place in reading_order([quads[index] for index in kept])]
        boxes = np.array([quads[index] for index in order], np.float32).reshape(-1, 4, 2)
        return Lines(
            [read[index][0] for index in order],
            boxes.clip(0, page.shape[1::-1]).astype(np.float32),
            np.array([read[index][1] for index in order], np.float32),
        )

    async def _upside_down(self, cuts: Sequence[np.ndarray]) -> list[bool]:
        """Which lines seem to stand on their heads."""
        prepared = [prepare_direction(line) for line in cuts]
        answers = await asyncio.gather(
            *(self.models.ocr_direction.aio(x=np.stack(rows)) for rows in _chunks(prepared))
        )
        rows = np.concatenate([next(iter(answer.values())) for answer in answers])
        return [bool(row[1] > UPSIDE_DOWN) for row in rows]

    async def _read(self, cuts: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """Text and score of every line; lines prepared to one width share a call."""
        prepared = [prepare_line(line) for line in cuts]
        widths: dict[int, list[int]] = {}
        for index, line in enumerate(prepared):
            widths.setdefault(line.shape[2], []).append(index)
        chunks = [chunk for indices in widths.values() for chunk in _chunks(indices)]
        answers = await asyncio.gather(
            *(
                self.models.ocr_recognize.aio(x=np.stack([prepared[index] for index in chunk]))
                for chunk in chunks
            )
        )
        found = {}
        for chunk, answer in zip(chunks, answers, strict=True):
            (steps,) = answer.values()
            found.update(
                {index: self._decode(row) for index, row in zip(chunk, steps, strict=True)}
            )
        return [found[index] for index in range(len(cuts))]

    def _decode(self, probabilities: np.ndarray) -> tuple[str, float]:
        """The best class of every step of time; runs count once, blanks separate them (CTC)."""
        best = probabilities.argmax(axis=-1)
        starts = np.ones(len(best), dtype=bool)
        starts[1:] = best[1:] != best[:-1]
        kept = starts & (best != 0)
        text = "".join(self.characters[best[kept]]).strip()
        return text, float(probabilities.max(axis=-1)[kept].mean()) if text else 0.0


def _on_paper(image: Image.Image) -> Image.Image:
    """As a viewer shows it: turned as the camera was held, on white where it is transparent."""
    image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


def _turned(line: np.ndarray) -> np.ndarray:
    return line[::-1, ::-1]


def _chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
