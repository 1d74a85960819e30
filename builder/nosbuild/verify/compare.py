"""Reference and candidate outputs go in, batch by batch; the worst of every metric comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nosbuild.errors import InputError, Refused
from nosbuild.source.references import call, load_callable
from nosbuild.tensors import is_batched
from nosbuild.verify.metrics import SHARES, Bar, bars_to_check, metric
from nosbuild.verify.padding import Padding
from nosbuild.verify.proof import Finding

if TYPE_CHECKING:
    from nosbuild.spec import Quality
    from nosbuild.spec.padding import PadValue
    from nosbuild.tensors import TensorSpec

Metric = Callable[[np.ndarray, np.ndarray], float]


class Bars(Protocol):
    """What a comparison judges by: a ModelSpec has it."""

    @property
    def folder(self) -> Path:
        """Where the paths of metrics start."""

    @property
    def quality(self) -> Quality:
        """The bars."""


@dataclass(frozen=True)
class _Share:
    value: float
    size: int
    sample: int


class Comparison:
    """Collects the worst value of every bar over all comparisons added to it."""

    def __init__(
        self,
        spec: Bars,
        outputs: Sequence[TensorSpec],
        pad: Mapping[str, PadValue] | None = None,
    ) -> None:
        """Nothing compared yet.

        Args:
            spec: the bars.
            outputs: what is compared.
            pad: output -> value that rows of a batch may be filled up with at their end, beyond
                what they are alone; none where both must have one size.
        """
        self.folder: Path = spec.folder
        self.padding = Padding(pad or {}, outputs)
        self.batched = is_batched(outputs)
        self.bars: dict[str, dict[str, float]] = {}
        self.checks: list[tuple[str, Bar]] = []
        for tensor in outputs:
            bars = spec.quality.bars_for(tensor.name, tensor.dtype)
            self.bars[tensor.name] = bars
            for bar in bars_to_check(bars, is_float=tensor.dtype.is_float):
                _check_has_rows(bar, tensor)
                self.checks.append((tensor.name, bar))
        self.custom: dict[str, Metric] = {
            bar.metric: load_callable(bar.metric, self.folder, InputError)
            for _, bar in self.checks
            if ":" in bar.metric
        }
        self._worst: dict[tuple[str, Bar], tuple[float, int, int]] = {}
        self._shares: dict[tuple[str, Bar, int], list[_Share]] = {}

    def add(
        self,
        candidate: dict[str, np.ndarray],
        reference: dict[str, np.ndarray],
        indices: Sequence[int],
        batch: int = 0,
    ) -> None:
        """Compare one run; arrays have the batch axis (or are one unbatched item).

        Args:
            candidate: the variant's outputs.
            reference: the source's outputs for the same inputs.
            indices: the samples of the rows.
            batch: rows that ran together, where these are not all of them.

        Raises:
            Refused: the shapes differ, so that nothing can be compared.
        """
        batch = batch or len(indices)
        candidate = self.padding.removed(candidate, reference, indices[0], batch)
        for output, bar in self.checks:
            ours, theirs = candidate[output], reference[output]
            if ours.shape != theirs.shape:
                raise Refused(
                    f"{output} has shape {list(ours.shape)} for sample {indices[0]} in a batch of "
                    f"{batch}, the source gives {list(theirs.shape)}",
                    "Sizes that depend on values, or on the other rows of a batch, cannot be "
                    "served in batches: declare the tensors without the batch axis. What a class "
                    "fills up to the longest of a batch, it names under pad.",
                )
            if not self.batched:
                ours, theirs = ours[None], theirs[None]
            value = self._measure(bar, output, ours, theirs)
            if bar.metric in SHARES:
                shares = self._shares.setdefault((output, bar, batch), [])
                shares.append(_Share(value, theirs.size, indices[0]))
            else:
                self._keep(output, bar, value, batch, indices[0])

    def add_rows(
        self,
        candidate: dict[str, np.ndarray],
        answers: Sequence[dict[str, np.ndarray]],
        indices: Sequence[int],
    ) -> None:
        """Compare one request of several rows.

        Args:
            candidate: its outputs, with the batch axis.
            answers: to every sample alone, without it; those of the rows are alike.
            indices: the sample of each row.

        Raises:
            Refused: as ``add``.
        """
        if not self.padding:
            names = answers[indices[0]]
            stacked = {n: np.stack([answers[index][n] for index in indices]) for n in names}
            self.add(candidate, stacked, indices)
            return
        for row, index in enumerate(indices):
            found = {name: array[row : row + 1] for name, array in candidate.items()}
            own = {name: array[None] for name, array in answers[index].items()}
            self.add(found, own, [index], len(indices))

    def _keep(self, output: str, bar: Bar, value: float, batch: int, sample: int) -> None:
        key = (output, bar)
        if key not in self._worst or _worse(bar, value, self._worst[key][0]):
            self._worst[key] = (value, batch, sample)

    def _settle_shares(self) -> None:
        """One share over all runs of a batch size; the sample shown is the worst of them."""
        for (output, bar, batch), shares in self._shares.items():
            total = sum(share.size for share in shares)
            value = sum(share.value * share.size for share in shares) / total if total else 1.0
            sample = min(shares, key=lambda share: share.value).sample
            self._keep(output, bar, value, batch, sample)
        self._shares.clear()

    def join(self, other: Comparison) -> None:
        """Take over what another runner did worse; shares are counted for each runner alone."""
        self._settle_shares()
        other._settle_shares()
        for (output, bar), (value, batch, sample) in other._worst.items():
            self._keep(output, bar, value, batch, sample)

    def findings(self, noise: Comparison | None = None) -> tuple[Finding, ...]:
        """The worst of every bar; ``noise`` holds the source compared with itself."""
        self._settle_shares()
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

    def margin(self) -> float:
        """How far the nearest bar is, in parts of what it allows; negative where one is missed,
        NaN where a metric gave NaN.
        """
        self._settle_shares()
        margins = [
            bar.margin(value, self.bars[output].get("atol", 1.0) or 1.0)
            for (output, bar), (value, _, _) in self._worst.items()
        ]
        return float(np.min(margins)) if margins else 0.0

    def worst(self, output: str, bar: Bar) -> float | None:
        """The worst value so far; None where nothing was compared."""
        self._settle_shares()
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


def _check_has_rows(bar: Bar, tensor: TensorSpec) -> None:
    if bar.metric == "top1_agreement" and not tensor.item_shape:
        raise InputError(
            f"quality: top1_agreement says nothing about {tensor.name}: {tensor.declaration}, "
            "one number an item",
            f"Set another bar for it: quality: {{{tensor.name}: {{relative: 1e-3}}}}.",
        )


def _worse(bar: Bar, value: float, than: float) -> bool:
    if np.isnan(value) or np.isnan(than):
        return bool(np.isnan(value))
    return value < than if bar.higher_is_better else value > than
