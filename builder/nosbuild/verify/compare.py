"""Reference and candidate outputs go in, batch by batch; the worst of every metric comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.errors import InputError
from nosbuild.source.references import call, load_callable
from nosbuild.verify.metrics import Bar, bars_to_check, metric
from nosbuild.verify.proof import Finding

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec

Metric = Callable[[np.ndarray, np.ndarray], float]


class Comparison:
    """Collects the worst value of every bar over all comparisons added to it."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        self.folder: Path = spec.folder
        self.bars: dict[str, dict[str, float]] = {}
        self.checks: list[tuple[str, Bar]] = []
        for tensor in outputs:
            bars = spec.quality.bars_for(tensor.name, tensor.dtype)
            self.bars[tensor.name] = bars
            for bar in bars_to_check(bars, is_float=tensor.dtype.is_float):
                self.checks.append((tensor.name, bar))
        self.custom: dict[str, Metric] = {
            bar.metric: load_callable(bar.metric, self.folder, InputError)
            for _, bar in self.checks
            if ":" in bar.metric
        }
        self._worst: dict[tuple[str, Bar], tuple[float, int, int]] = {}

    def add(
        self,
        candidate: dict[str, np.ndarray],
        reference: dict[str, np.ndarray],
        indices: Sequence[int],
    ) -> None:
        """Compare one run; arrays have the batch axis (or are one unbatched item).

        Args:
            candidate: the variant's outputs.
            reference: the source's outputs for the same inputs.
            indices: the samples of the rows.
        """
        for output, bar in self.checks:
            value = self._measure(bar, output, candidate[output], reference[output])
            key = (output, bar)
            if key not in self._worst or _worse(bar, value, self._worst[key][0]):
                self._worst[key] = (value, len(indices), indices[0])

    def findings(self, noise: Comparison | None = None) -> tuple[Finding, ...]:
        """The worst of every bar; ``noise`` holds the source compared with itself."""
        found = []
        for (output, bar), (value, batch, sample) in self._worst.items():
            own = noise.worst(output, bar) if noise else None
            found.append(
                Finding(
                    output=output,
                    bar=self._describe(output, bar),
                    value=value,
                    holds=bar.holds(value),
                    batch=batch,
                    sample=sample,
                    noise=own,
                    noise_misses=own is not None and not bar.holds(own),
                )
            )
        return tuple(found)

    def worst(self, output: str, bar: Bar) -> float | None:
        """The worst value so far; None where nothing was compared."""
        found = self._worst.get((output, bar))
        return found[0] if found else None

    def _describe(self, output: str, bar: Bar) -> str:
        if bar.metric != "excess":
            return bar.describe()
        bars = self.bars[output]
        parts = [f"{key}={bars[key]:g}" for key in ("atol", "rtol") if key in bars]
        return f"allclose({', '.join(parts)}) excess <= 0"

    def _measure(
        self, bar: Bar, output: str, candidate: np.ndarray, reference: np.ndarray
    ) -> float:
        if bar.metric in self.custom:
            what = f"quality: {bar.metric}"
            value = call(
                lambda: float(self.custom[bar.metric](candidate, reference)),
                what,
                self.folder,
                InputError,
            )
            if np.isnan(value):
                raise InputError(
                    f"{what} returned NaN for output {output}",
                    "Return a number; decide in the metric what an undefined case is worth.",
                )
            return value
        return metric(bar.metric, candidate, reference, self.bars[output])


def _worse(bar: Bar, value: float, than: float) -> bool:
    if np.isnan(value) or np.isnan(than):
        return bool(np.isnan(value))
    return value < than if bar.higher_is_better else value > than
