"""Weights and what they are multiplied with go in; the same weights, rounded to 8 bits with care.

Rounding each weight to the nearest step is not the best for their sum. Here the error of each
weight is made up for by those not yet rounded, as far as their inputs move together (the GPTQ
method: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2023), and what is left on average goes into the bias. The result stands exactly on
the steps of a symmetric scale per output channel, so that rounding it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from nosbuild.optimize.observing import Item, Observer
from nosbuild.optimize.weighted import Weighted, weight_arrays

STEPS = 127
"""Of a symmetric signed byte, at each side of zero."""
MOST_INPUTS = 4608
"""Above this the second moments are left out: their cube is the cost."""
COLUMNS = 8192
"""Inputs to see of each node, over all items; every item gives its share."""
LEAST_COLUMNS = 64
"""Of one item, however many there are."""
AT_ONCE = 1024
"""Columns summed in one product."""
DAMPING = 0.01
"""Share of the mean second moment added to each: inputs that never vary have no inverse."""
BLOCK = 128
"""Weights rounded before the rest hears of their errors; only speed depends on it."""


class _Moments:
    """First and second moments of a node's inputs, summed over columns."""

    def __init__(self) -> None:
        self.second: np.ndarray | float = 0.0
        self.first: np.ndarray | float = 0.0
        self.count = 0
        self._waiting: list[np.ndarray] = []

    def add(self, columns: np.ndarray) -> None:
        """Take in [groups, inputs, positions]; summed many at a time, as that is quicker."""
        self._waiting.append(columns)
        if sum(row.shape[2] for row in self._waiting) >= AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Sum what waits."""
        if self._waiting:
            columns = np.concatenate(self._waiting, axis=2)
            self._waiting.clear()
            self.second = self.second + (columns @ columns.transpose(0, 2, 1)).astype(np.float64)
            self.first = self.first + columns.sum(2, dtype=np.float64)
            self.count += columns.shape[2]


def rounded_weights(
    model: onnx.ModelProto, nodes: Sequence[Weighted], items: Sequence[Item], batched: bool
) -> dict[str, np.ndarray]:
    """New values for weights and biases, by name; nodes that share weights are left out."""
    fit = [node for node in nodes if node.own and node.inputs <= MOST_INPUTS]
    arrays = weight_arrays(model, fit)
    moments = _moments(model, fit, items, batched)
    made: dict[str, np.ndarray] = {}
    for node in fit:
        if node.name not in moments:
            continue
        weight = arrays[node.weight]
        rows, left = _rounded(node, node.rows(weight).astype(np.float64), moments[node.name])
        made[node.weight] = node.weight_of(rows).astype(np.float32)
        if node.bias is not None:
            bias = arrays[node.bias]
            made[node.bias] = (bias + left.reshape(bias.shape)).astype(np.float32)
    return made


def _moments(
    model: onnx.ModelProto, nodes: Sequence[Weighted], items: Sequence[Item], batched: bool
) -> dict[str, _Moments]:
    found: dict[str, _Moments] = {}
    made = {name for row in model.graph.node for name in row.output}
    tensors = sorted({node.data for node in nodes})
    most = max(LEAST_COLUMNS, COLUMNS // len(items))
    with Observer(model, [name for name in tensors if name in made]) as observer:
        for values in observer.run(items, batched, tensors):
            for node in nodes:
                if values[node.data].size:
                    columns = node.columns(values[node.data], most)
                    found.setdefault(node.name, _Moments()).add(columns)
    for moments in found.values():
        moments.settle()
    return found


def _rounded(node: Weighted, rows: np.ndarray, moments: _Moments) -> tuple[np.ndarray, np.ndarray]:
    """The rows on their steps, and what each output lacks on average."""
    grouped = rows.reshape(node.groups, -1, rows.shape[1])
    mean = np.asarray(moments.first) / moments.count
    second = np.asarray(moments.second) / moments.count
    if node.bias is not None:  # the average is the bias's to mend, so only variation counts
        second = second - mean[:, :, None] * mean[:, None, :]
    made = on_steps(grouped, second)
    left = ((grouped - made) @ mean[:, :, None])[:, :, 0]
    return made.reshape(rows.shape), left.reshape(-1)


def on_steps(rows: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows of weights, each of whole steps of its own, whose products with inputs are close.

    The largest weight of each row keeps its place at the end of the scale: whoever derives the
    scale from the result finds the same one.

    Args:
        rows: [groups, outputs, inputs].
        second: [groups, inputs, inputs], the inputs' second moments.
    """
    _, _, inputs = rows.shape
    scales = np.abs(rows).max(2) / STEPS
    scales[scales == 0] = 1.0
    second = second.copy()
    diagonal = np.einsum("gii->gi", second)
    order = np.argsort(-diagonal, axis=1, kind="stable")
    diagonal += np.maximum(DAMPING * diagonal.mean(1, keepdims=True), 1e-12)
    work = np.take_along_axis(rows, order[:, None, :], 2).astype(np.float64)
    second = np.take_along_axis(second, order[:, None, :], 2)
    second = np.take_along_axis(second, order[:, :, None], 1)
    upper = np.linalg.cholesky(np.linalg.inv(second)).transpose(0, 2, 1)
    top = np.abs(work).argmax(2)
    ends = STEPS * np.sign(np.take_along_axis(work, top[:, :, None], 2)[:, :, 0])
    made = np.empty_like(work)
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = np.empty((*work.shape[:2], stop - start))
        for column in range(start, stop):
            steps = np.clip(np.round(work[:, :, column] / scales), -STEPS, STEPS)
            made[:, :, column] = np.where(top == column, ends, steps) * scales
            error = (work[:, :, column] - made[:, :, column]) / upper[:, column, column, None]
            errors[:, :, column - start] = error
            following = upper[:, column, None, column + 1 : stop]
            work[:, :, column + 1 : stop] -= error[:, :, None] * following
        work[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    back = np.empty_like(made)
    np.put_along_axis(back, np.broadcast_to(order[:, None, :], made.shape), made, 2)
    return back
