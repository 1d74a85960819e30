"""A page goes in as the network takes it; its probability map comes out as boxes around lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

STEP = 32
SHORTEST, LONGEST = 736, 960
"""A small page is enlarged until its short side has 736 pixels, no side ever beyond 960."""

TEXT_PIXEL, TEXT_BOX = 0.3, 0.5
"""A pixel above the first is text; a region whose text pixels average below the second is none."""
UNCLIP = 1.6
"""The network marks the core of a line; area * UNCLIP / perimeter gives its margin back."""
# These numbers are RapidOCR's (Det in its config.yaml). Its boxes may be rotated; ours stand
# upright, which is enough for pages that were not photographed aslant.


@dataclass(frozen=True)
class Box:
    """A line of text, in pixels of the page; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    score: float

    def cut(self, page: np.ndarray) -> np.ndarray:
        """The part of the page inside the box."""
        return page[self.top : self.bottom, self.left : self.right]


def prepare(page: np.ndarray) -> np.ndarray:
    """Resize to multiples of 32 and normalise to -1..1.

    Args:
        page: uint8[height, width, 3], RGB.

    Returns:
        float32[3, height, width], BGR as in training.
    """
    height, width = page.shape[:2]
    enlarge = max(1.0, SHORTEST / min(height, width))
    scale = min(enlarge, LONGEST / max(height, width))
    size = [max(STEP, round(side * scale / STEP) * STEP) for side in (width, height)]
    resized = Image.fromarray(page).resize((size[0], size[1]), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, dtype=np.float32)[:, :, ::-1]
    return np.ascontiguousarray((pixels / 255 - 0.5).transpose(2, 0, 1) * 2)


def find(probabilities: np.ndarray, page_shape: tuple[int, ...]) -> list[Box]:
    """Boxes around the lines of a page, in reading order.

    Args:
        probabilities: float32[1, height, width] or [height, width], one page.
        page_shape: shape of the page before `prepare`; the boxes are in its pixels.
    """
    heat = probabilities.reshape(probabilities.shape[-2:])
    text = heat > TEXT_PIXEL
    regions, count = ndimage.label(
        ndimage.binary_dilation(text, structure=np.ones((2, 2))), structure=np.ones((3, 3))
    )
    # The mean over the text pixels: a line that slopes fills only part of its upright box.
    scores = ndimage.mean(heat, regions * text, range(1, count + 1)) if count else []
    scale = (page_shape[0] / heat.shape[0], page_shape[1] / heat.shape[1])
    boxes = [
        _box(rows, columns, float(score), scale, page_shape)
        for (rows, columns), score in zip(ndimage.find_objects(regions), scores, strict=True)
        if score >= TEXT_BOX
    ]
    tall_enough = [box for box in boxes if min(box.bottom - box.top, box.right - box.left) > 3]
    return [box for line in _lines(tall_enough) for box in line]


def _box(
    rows: slice,
    columns: slice,
    score: float,
    scale: tuple[float, float],
    page_shape: tuple[int, ...],
) -> Box:
    height, width = rows.stop - rows.start, columns.stop - columns.start
    margin = height * width * UNCLIP / (2 * (height + width))
    return Box(
        left=max(0, round((columns.start - margin) * scale[1])),
        top=max(0, round((rows.start - margin) * scale[0])),
        right=min(page_shape[1], round((columns.stop + margin) * scale[1])),
        bottom=min(page_shape[0], round((rows.stop + margin) * scale[0])),
        score=score,
    )


def _lines(boxes: list[Box]) -> Iterator[list[Box]]:
    """Boxes whose middles lie within the line's first box stand on one line, left to right."""
    rest = sorted(boxes, key=lambda box: box.top)
    while rest:
        first = rest[0]
        line = [box for box in rest if first.top <= (box.top + box.bottom) / 2 <= first.bottom]
        rest = [box for box in rest if box not in line]
        yield sorted(line, key=lambda box: box.left)
