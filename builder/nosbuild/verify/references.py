"""The source goes in; its answers to every sample, and how it repeats itself, come out as files.

The source runs once for all variants; what is judged later is judged on these files.

    items/NNN.npz       every sample and the source's answer to it alone
    precise/NNN.npz     the first samples again in float64, where the source can
    together/N.npz      one batch of N, for each batch size: do rows influence each other?
    golden/NNN.npz      a choice of the items, kept beside the published model
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import InputError, Refused, SampleError
from nosbuild.source.load import load_source
from nosbuild.tensors import BATCH, is_batched
from nosbuild.verify.golden import GOLDEN_ITEMS, GoldenSample, read_golden, write_golden
from nosbuild.verify.metrics import finite_scale
from nosbuild.verify.sample_item import Item
from nosbuild.verify.samples import Batch, Samples, batches, join, load_samples
from nosbuild.verify.sequence_samples import golden_choice, run_sequences

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays, LoadedSource
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec

STATE_TOLERANCE = 1e-5
"""Largest change, relative to the output's scale, between two runs of one input in one process.

Equal shapes run the same kernels, so a stateless model repeats itself to the last bits.
"""
REPEATED_ITEMS = 3
"""Samples that are run again after all others."""
NOISE_ITEMS = 16
"""Samples on which the source's own rounding noise is measured."""

ITEMS, _PRECISE, _TOGETHER, GOLDEN = "items", "precise", "together", "golden"
FACTS = "facts.json"


@dataclass(frozen=True)
class References:
    """What the source answered."""

    items: list[GoldenSample]
    precise: list[GoldenSample]
    """The first items with answers in float64; empty where the source cannot."""
    together: dict[int, GoldenSample]
    """Batch size -> one batch and its answers, with the batch axis."""
    real: bool
    """False where the inputs were drawn at random."""
    reasons: tuple[str, ...]
    """What speaks against the source itself, whatever the variant."""

    @property
    def inputs(self) -> list[Arrays]:
        """Every item, without the batch axis."""
        return [item.inputs for item in self.items]


def collect_references(spec: ModelSpec, out: Path) -> dict[str, Any]:
    """Run the source on every sample of the spec; write ``out``.

    Returns:
        ``samples``, how many; ``real``, whether the user's; ``reasons`` against the source itself.

    Raises:
        SampleError, SourceError: the samples or the source do not fit the spec.
        Refused: its answers' sizes depend on values, so that they cannot be batched.
    """
    source, spec = load_source(spec)
    batched = is_batched((*source.inputs, *source.outputs))
    samples, answers = _answered(source, spec, batched)
    write_golden(out / ITEMS, samples.items, answers)
    chosen = spread(len(samples.items), GOLDEN_ITEMS)
    if spec.state:
        pairs = zip(samples.items, answers, strict=True)
        chosen = golden_choice(spec, [GoldenSample(*pair) for pair in pairs])
    write_golden(
        out / GOLDEN,
        [samples.items[index] for index in chosen],
        [answers[index] for index in chosen],
    )
    precise = _precise(source, samples, batched)
    write_golden(out / _PRECISE, samples.items[: len(precise)], precise)
    for size in batch_sizes(spec)[1:]:
        batch = next(batches(samples.items, size, every_shape=False))
        together = source.run(batch.inputs)
        write_golden(out / _TOGETHER / str(size), [batch.inputs], [together])
    reasons = _not_finite(answers, source.outputs)
    reasons += _hidden_state(source, samples, batched, answers)
    facts = {"samples": len(samples.items), "real": samples.real, "reasons": reasons}
    (out / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return facts


def read_references(folder: Path) -> References:
    """Read back what ``collect_references`` wrote."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    together = folder / _TOGETHER
    sizes = sorted(int(entry.name) for entry in together.iterdir()) if together.exists() else []
    return References(
        items=read_golden(folder / ITEMS),
        precise=read_golden(folder / _PRECISE),
        together={size: read_golden(together / str(size))[0] for size in sizes},
        real=facts["real"],
        reasons=tuple(facts["reasons"]),
    )


def batch_sizes(spec: ModelSpec) -> tuple[int, ...]:
    """1, typical and max, ascending; only 1 where the tensors have no batch axis."""
    if not spec.is_batched:
        return (1,)
    span = spec.dim_range(BATCH)
    return tuple(sorted({1, span.typical, span.max}))


def spread(items: int, most: int) -> list[int]:
    """Indices spread evenly over the items, at most so many."""
    return sorted({round(index) for index in np.linspace(0, items - 1, min(most, items))})


def stack(answers: list[Arrays], batch: Batch) -> Arrays:
    """The answers to a batch's items, each given alone, as one batch.

    Raises:
        Refused: their shapes differ.
    """
    stacked: Arrays = {}
    for name, first in answers[batch.indices[0]].items():
        rows = [answers[index][name] for index in batch.indices]
        strange = next((row for row in rows if row.shape != first.shape), None)
        if strange is not None:
            raise Refused(
                f"the source gives {name} in shape {[1, *first.shape]} for one sample and "
                f"{[1, *strange.shape]} for another with inputs of one shape",
                "Sizes that depend on values cannot be served in batches: declare the tensors "
                "without the batch axis, or pad them in the model.",
            )
        stacked[name] = np.stack(rows)
    return stacked


def differ(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """True where floats differ by more than ``tolerance`` of the scale, or others at all."""
    if a.shape != b.shape:
        return True
    if a.dtype.kind != "f":
        return not np.array_equal(a, b)
    scale = finite_scale(a) or 1.0
    return not np.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True)


def changed(first: Arrays, second: Arrays) -> bool:
    """True where a second run of the same input answered otherwise."""
    return any(differ(first[name], second[name], STATE_TOLERANCE) for name in first)


def _answered(source: LoadedSource, spec: ModelSpec, batched: bool) -> tuple[Samples, list[Arrays]]:
    def run(item: Item, index: int) -> Arrays:
        return _run(source, item, index, batched)

    if spec.state:
        return run_sequences(spec, source.inputs, run)
    samples = load_samples(spec, source.inputs)
    return samples, [run(item, index) for index, item in enumerate(samples.items)]


def _run(source: LoadedSource, item: Item, index: int, batched: bool) -> Arrays:
    """The answer to one item, without the batch axis."""
    try:
        return _item(source.run(_inputs((item,), 0, batched)), batched)
    except InputError:
        raise
    except Exception as exc:
        raise SampleError(
            f"the model itself cannot run sample {index}: {type(exc).__name__}: {exc}",
            "Yield samples that the model takes.",
        ) from exc


def _precise(source: LoadedSource, samples: Samples, batched: bool) -> list[Arrays]:
    found: list[Arrays] = []
    for index in range(min(NOISE_ITEMS, len(samples.items))):
        precise = source.run_precise(_inputs(samples.items, index, batched))
        if precise is None:
            return []
        found.append(_item(precise, batched))
    return found


def _inputs(items: Sequence[Item], index: int, batched: bool) -> Arrays:
    return join(items, [index]).inputs if batched else items[index]


def _item(arrays: Arrays, batched: bool) -> Arrays:
    if not batched:
        return arrays
    return {name: array[0, ...] for name, array in arrays.items()}  # 0-d arrays stay arrays


def _not_finite(answers: list[Arrays], outputs: tuple[TensorSpec, ...]) -> list[str]:
    for index, arrays in enumerate(answers):
        for tensor in outputs:
            if tensor.dtype.is_float and np.isnan(arrays[tensor.name]).any():
                return [f"the source itself gives NaN in {tensor.name} for sample {index}"]
    return []


def _hidden_state(
    source: LoadedSource, samples: Samples, batched: bool, answers: list[Arrays]
) -> list[str]:
    """Run the first samples again, after the others: a model with a memory answers otherwise."""
    for index in range(min(REPEATED_ITEMS, len(samples.items))):
        again = _item(source.run(_inputs(samples.items, index, batched)), batched)
        if changed(answers[index], again):
            return [
                f"the source answered sample {index} differently the second time: it keeps a "
                "state between calls, or draws random numbers; pass the state in and out as "
                "tensors, and remove the randomness"
            ]
    return []
