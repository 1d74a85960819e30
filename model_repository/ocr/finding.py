"""A page goes in as ocr_detect takes it; its heat map comes out as boxes, turned as the text is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

Quad = np.ndarray
"""float64[4, 2]: corners (x, y), from where the text begins at its top, clockwise."""

STEP = 32
SHORTEST, LONGEST = 736, 960
"""A small page is enlarged until its short side has 736 pixels, no side ever beyond 960."""
TEXT_PIXEL, TEXT_BOX = 0.3, 0.5
"""A pixel above the first is text; a region whose text pixels average below the second is none."""
UNCLIP = 1.6
"""The network marks the core of a line; area * UNCLIP / perimeter gives its margin back."""
UPRIGHT = 1.5
"""What is so much taller than wide is a line that runs down the page."""
# These numbers are RapidOCR's.


def prepare_page(page: np.ndarray) -> np.ndarray:
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


def find(heat: np.ndarray, page_shape: Sequence[int]) -> list[Quad]:
    """Boxes around the lines of a page, in no order.

    Args:
        heat: float32[height, width], the probability of text.
        page_shape: shape of the page before `prepare_page`; the boxes are in its pixels.
    """
    text = heat > TEXT_PIXEL
    regions, count = ndimage.label(
        ndimage.binary_dilation(text, structure=np.ones((2, 2))), structure=np.ones((3, 3))
    )
    scores = ndimage.mean(heat, regions * text, range(1, count + 1)) if count else []
    scale = np.array([page_shape[1] / heat.shape[1], page_shape[0] / heat.shape[0]])
    found = []
    for number, place in enumerate(ndimage.find_objects(regions)):
        if scores[number] < TEXT_BOX:
            continue
        corner = np.array([place[1].start, place[0].start])
        quad = _box(_outline(regions[place] == number + 1) + corner)
        if quad is not None:
            found.append(_from_its_start(quad * scale))
    return found


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """Indices line by line, each from its beginning, however the page is turned."""
    if not quads:
        return []
    along = np.sum([quad[1] - quad[0] for quad in quads], axis=0)
    along = along / np.linalg.norm(along)
    down = np.array([-along[1], along[0]])
    middles = [quad.mean(axis=0) @ np.stack([along, down], axis=1) for quad in quads]
    heights = [np.linalg.norm(quad[3] - quad[0]) for quad in quads]
    rest = sorted(range(len(quads)), key=lambda index: middles[index][1])
    order: list[int] = []
    while rest:
        top = rest[0]
        row = [i for i in rest if middles[i][1] - middles[top][1] <= heights[top] / 2]
        rest = [i for i in rest if i not in row]
        order += sorted(row, key=lambda index: middles[index][0])
    return order


def _outline(region: np.ndarray) -> np.ndarray:
    """The corners of the first and last pixel of every row: float64[n, 2] of (x, y)."""
    rows = np.flatnonzero(region.any(axis=1))
    first = region[rows].argmax(axis=1)
    last = region.shape[1] - region[rows, ::-1].argmax(axis=1)
    return np.concatenate(
        [np.stack([x, y], axis=1) for x in (first, last) for y in (rows, rows + 1)]
    ).astype(np.float64)


def _box(points: np.ndarray) -> Quad | None:
    """The smallest rectangle around points, with its margin; None for a speck.

    One of its sides lies on a side of the convex hull. Its first side is the one nearer to the
    horizontal.
    """
    hull = points[ConvexHull(points).vertices]
    sides = np.roll(hull, -1, axis=0) - hull
    # Turned by quarters until nearest to the horizontal: -45 to 45 degrees.
    angles = np.unique(
        np.round((np.arctan2(sides[:, 1], sides[:, 0]) + np.pi / 4) % (np.pi / 2), 6)
    )
    smallest: tuple[float, np.ndarray, np.ndarray, np.ndarray] | None = None
    for angle in angles - np.pi / 4:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = hull @ turn
        low, high = turned.min(axis=0), turned.max(axis=0)
        area = float(np.prod(high - low))
        if smallest is None or area < smallest[0]:
            smallest = (area, turn, low, high)
    assert smallest is not None
    area, turn, low, high = smallest
    width, height = high - low
    if min(width, height) <= 3:
        return None
    margin = area * UNCLIP / (2 * (width + height))
    low, high = low - margin, high + margin
    corners = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
    return corners @ turn.T


def _from_its_start(quad: Quad) -> Quad:
    """A line that runs down the page begins at its top right corner."""
    width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    return np.roll(quad, -1, axis=0) if height >= UPRIGHT * width else quad
