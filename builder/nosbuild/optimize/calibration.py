"""A model and all of its items go in; the range of values to spend 8 bits on comes out.

Two passes over the items: the first finds the extremes of every tensor, the second counts into
histograms between them. Nothing but these is kept, so that memory does not grow with the items.

Methods:
    minmax: every value seen is representable.
    percentile: the outermost 0.001% of the values are cut off at each side.
    entropy: the cut that loses least information, by Kullback-Leibler divergence between the
        counts and what 8 bits leave of them (Migacz, "8-bit Inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import onnx

from nosbuild.errors import SampleError
from nosbuild.optimize.observing import FLOAT, Item, Observer

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 2048
CUT = 1e-5
"""Share of the values that ``percentile`` gives up at each side."""
LEVELS = 256
ENTROPY_STEPS = 64
"""How many cuts ``entropy`` tries, between a quarter of the extreme and all of it."""


@dataclass(frozen=True)
class Observed:
    """What one tensor held over all items."""

    low: float
    high: float
    counts: np.ndarray
    """Between ``low`` and ``high``, in bins of equal width."""


def observe(
    model: onnx.ModelProto, items: Sequence[Item], batched: bool, tensors: Collection[str]
) -> dict[str, Observed]:
    """Run every item, and count the values of the float tensors among ``tensors``.

    Raises:
        SampleError: an item does not fit, or makes a tensor that is not finite.
    """
    if not items:
        raise SampleError("there is no sample to calibrate with", "Yield at least one.")
    made = {name for node in model.graph.node for name in node.output}
    with Observer(model, [name for name in tensors if name in made]) as observer:
        names = [name for name in sorted(tensors) if observer.types.get(name) == FLOAT]
        lows = dict.fromkeys(names, np.inf)
        highs = dict.fromkeys(names, -np.inf)
        for index, values in enumerate(observer.run(items, batched, names)):
            for name, array in values.items():
                if array.size == 0:
                    continue
                low, high = float(array.min()), float(array.max())
                if not (np.isfinite(low) and np.isfinite(high)):
                    raise SampleError(
                        f"sample {index} makes {name} infinite or NaN in fp32: it has no range",
                        "Leave this sample out, or mend the model.",
                    )
                lows[name], highs[name] = min(lows[name], low), max(highs[name], high)
        names = [name for name in names if lows[name] <= highs[name]]
        counts = {name: np.zeros(BINS, np.int64) for name in names}
        for values in observer.run(items, batched, names):
            for name, array in values.items():
                counts[name] += _count(array, lows[name], highs[name])
    return {name: Observed(lows[name], highs[name], counts[name]) for name in names}


def _count(array: np.ndarray, low: float, high: float) -> np.ndarray:
    width = high - low
    if width == 0:
        counts = np.zeros(BINS, np.int64)
        counts[0] = array.size
        return counts
    places = ((array.ravel() - np.float32(low)) * np.float32(BINS / width)).astype(np.int32)
    return np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)


def value_range(
    observed: Observed, method: Method, *, symmetric: bool = False
) -> tuple[float, float]:
    """Lowest and highest value to represent; zero lies between them, as quantisation needs it."""
    choose = {"minmax": _minmax, "percentile": _percentile, "entropy": _entropy}[method]
    low, high = choose(observed)
    if symmetric:
        extreme = max(abs(low), abs(high))
        return -extreme, extreme
    return min(low, 0.0), max(high, 0.0)


def _minmax(observed: Observed) -> tuple[float, float]:
    return observed.low, observed.high


def _edges(observed: Observed) -> np.ndarray:
    return np.linspace(observed.low, observed.high, BINS + 1)


def _percentile(observed: Observed) -> tuple[float, float]:
    below = np.cumsum(observed.counts) / max(int(observed.counts.sum()), 1)
    edges = _edges(observed)
    first = int(np.searchsorted(below, CUT, side="right"))
    last = int(np.searchsorted(below, 1.0 - CUT, side="left"))
    return float(edges[min(first, BINS - 1)]), float(edges[min(last + 1, BINS)])


def _entropy(observed: Observed) -> tuple[float, float]:
    extreme = max(abs(observed.low), abs(observed.high))
    if extreme == 0:
        return 0.0, 0.0
    edges = _edges(observed)
    middles = (edges[1:] + edges[:-1]) / 2
    counts = observed.counts.copy()
    # Zero is always represented exactly, so the many zeros that a ReLU makes lose nothing.
    zero = int(np.abs(middles).argmin())
    counts[zero] = min(counts[zero], max(counts[max(zero - 1, 0)], counts[min(zero + 1, BINS - 1)]))
    best = (np.inf, observed.low, observed.high)
    for cut in np.linspace(extreme, extreme / 4, ENTROPY_STEPS).tolist():
        low, high = max(observed.low, -cut), min(observed.high, cut)
        lost = _divergence(counts, middles, min(low, 0.0), max(high, 0.0))
        if lost < best[0]:
            best = (lost, low, high)
    return best[1], best[2]


def _divergence(counts: np.ndarray, middles: np.ndarray, low: float, high: float) -> float:
    """Of the counts, outliers moved to the edge, from themselves spread evenly over each level."""
    inside = (middles >= low) & (middles <= high)
    if not inside.any() or high <= low:
        return float("inf")
    places = np.flatnonzero(inside)
    true = counts[places].astype(np.float64)
    spread_of = true.copy()
    true[0] += counts[: places[0]].sum()
    true[-1] += counts[places[-1] + 1 :].sum()
    level = ((middles[places] - low) * ((LEVELS - 1) / (high - low)) + 0.5).astype(np.int64)
    filled = spread_of > 0
    sums = np.bincount(level, spread_of, LEVELS)
    sizes = np.bincount(level, filled.astype(np.float64), LEVELS)
    mean = np.divide(sums, sizes, out=np.zeros(LEVELS), where=sizes > 0)
    left = np.where(filled, mean[level], 0.0)
    p, q = true / true.sum(), left / max(left.sum(), 1e-300)
    both = p > 0
    # A count that 8 bits leave nothing of is lost, but not infinitely so.
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-9))).sum())
