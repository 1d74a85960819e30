"""Two models and items go in; how far apart their answers are comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from nosbuild.optimize.observing import Item, Observer


def answers(
    model: onnx.ModelProto, items: Sequence[Item], batched: bool
) -> list[dict[str, np.ndarray]]:
    """The outputs for every item."""
    names = [value.name for value in model.graph.output]
    with Observer(model, names) as observer:
        return list(observer.run(items, batched, names))


def distance(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> float:
    """Of one item's answers: the worst output's error, beside its size."""
    worst = 0.0
    for name, array in wanted.items():
        if array.dtype.kind != "f" or found[name].shape != array.shape:
            continue
        size = float(np.linalg.norm(array.astype(np.float64)))
        error = float(np.linalg.norm(found[name].astype(np.float64) - array))
        worst = max(worst, error / size if size > 0 else error)
    return worst
