"""The proof step: a spec and an exported artifact go in; a Proof and golden samples come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.errors import InputError, Refused, SampleError
from nosbuild.source.load import load_source
from nosbuild.store.hashing import sha256_of_files
from nosbuild.tensors import BATCH, is_batched
from nosbuild.verify.compare import Comparison
from nosbuild.verify.golden import GOLDEN_ITEMS, write_golden
from nosbuild.verify.metrics import finite_scale
from nosbuild.verify.proof import Proof
from nosbuild.verify.runners import OnnxRuntimeRunner
from nosbuild.verify.samples import Batch, Samples, batches, join, load_samples

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays, LoadedSource
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec

STATE_TOLERANCE = 1e-5
"""Largest change, relative to the output's scale, between two runs of one input in one process.

Equal shapes run the same kernels, so a stateless model repeats itself to the last bits.
"""
ROWS_TOLERANCE = 1e-3
"""The same between a row of a batch and that row alone.

Other shapes run other kernels, which round otherwise; a row that sees its neighbours changes more.
"""
NOISE_ITEMS = 16
"""Samples on which the source's own rounding noise is measured."""


def prove(spec: ModelSpec, artifact: Path, variant: str, out: Path) -> Proof:
    """Compare the artifact with its source; write golden samples to ``out/golden``.

    Each sample's reference is the source at batch 1. The variant runs at batch 1, typical and
    max, and every row must keep to the bars: that proves the numbers and, in one go, that rows
    of a batch do not influence each other, which is what lets Triton join strangers' requests.

    Raises:
        SampleError, SourceError: the samples or the source do not fit the spec.
        Refused: the variant cannot run a sample, or answers in another shape.
    """
    source, spec = load_source(spec)
    samples = load_samples(spec, source.inputs)
    batched = is_batched((*source.inputs, *source.outputs))
    runner = OnnxRuntimeRunner(artifact)
    sizes = batch_sizes(spec)
    references = [
        _run_source(source, samples, index, batched) for index in range(len(samples.items))
    ]

    reasons = _not_finite(references, source.outputs)
    comparison, noise = Comparison(spec, source.outputs), Comparison(spec, source.outputs)
    own_rows = Comparison(spec, source.outputs)
    interacting: set[str] = set()
    for index in range(len(samples.items)):
        inputs = _inputs(samples, index, batched)
        comparison.add(_run_variant(runner, inputs, [index]), references[index], [index])
        if index < NOISE_ITEMS:
            precise = source.run_precise(inputs)
            if precise is not None:
                noise.add(precise, references[index], [index])
    for size in sizes[1:]:
        for batch in batches(samples.items, size, every_shape=size != sizes[-1]):
            answers = _run_variant(runner, batch.inputs, batch.indices)
            comparison.add(answers, _stack(references, batch), batch.indices)
        batch = next(batches(samples.items, size, every_shape=False))
        together, alone = source.run(batch.inputs), _stack(references, batch)
        own_rows.add(together, alone, batch.indices)
        noise.add(together, alone, batch.indices)
        interacting |= {n for n in alone if _differ(alone[n], together[n], ROWS_TOLERANCE)}
    reasons += _rows_interact(own_rows, interacting)
    reasons += _hidden_state(source, samples, batched, runner, references)
    write_golden(
        out / "golden",
        [samples.items[index] for index in _golden_choice(samples)],
        [_item(references[index], batched) for index in _golden_choice(samples)],
    )
    return Proof(
        variant=variant,
        artifact=sha256_of_files(artifact.parent.glob("model.*"), artifact.parent),
        findings=comparison.findings(noise),
        reasons=tuple(reasons),
        samples=len(samples.items),
        real_samples=samples.real,
        batches=sizes,
    )


def batch_sizes(spec: ModelSpec) -> tuple[int, ...]:
    """1, typical and max, ascending; only 1 where the tensors have no batch axis."""
    if not spec.is_batched:
        return (1,)
    span = spec.dim_range(BATCH)
    return tuple(sorted({1, span.typical, span.max}))


def _inputs(samples: Samples, index: int, batched: bool) -> Arrays:
    return join(samples.items, [index]).inputs if batched else samples.items[index]


def _run_source(source: LoadedSource, samples: Samples, index: int, batched: bool) -> Arrays:
    try:
        return source.run(_inputs(samples, index, batched))
    except InputError:
        raise
    except Exception as exc:
        raise SampleError(
            f"the model itself cannot run sample {index}: {type(exc).__name__}: {exc}",
            "Yield samples that the model takes.",
        ) from exc


def _run_variant(runner: OnnxRuntimeRunner, inputs: Arrays, indices: Sequence[int]) -> Arrays:
    try:
        return runner.run(inputs)
    except Exception as exc:
        raise Refused(
            f"the variant cannot run sample {indices[0]} in a batch of {len(indices)}, "
            f"which the source can: {' '.join(str(exc).split())[:400]}",
            "Look for Python control flow on sizes or values in the model: an export holds only "
            "the path that its example took.",
        ) from exc


def _item(arrays: Arrays, batched: bool) -> Arrays:
    if not batched:
        return arrays
    return {name: array[0, ...] for name, array in arrays.items()}  # 0-d arrays stay arrays


def _stack(references: list[Arrays], batch: Batch) -> Arrays:
    stacked: Arrays = {}
    for name, first in references[batch.indices[0]].items():
        rows = [references[index][name] for index in batch.indices]
        strange = next((row for row in rows if row.shape != first.shape), None)
        if strange is not None:
            raise Refused(
                f"the source gives {name} in shape {list(first.shape)} for one sample and "
                f"{list(strange.shape)} for another with inputs of one shape",
                "Sizes that depend on values cannot be served in batches: declare the tensors "
                "without the batch axis, or pad them in the model.",
            )
        stacked[name] = np.concatenate(rows)
    return stacked


def _not_finite(references: list[Arrays], outputs: tuple[TensorSpec, ...]) -> list[str]:
    for index, arrays in enumerate(references):
        for tensor in outputs:
            if tensor.dtype.is_float and np.isnan(arrays[tensor.name]).any():
                return [f"the source itself gives NaN in {tensor.name} for sample {index}"]
    return []


def _rows_interact(own_rows: Comparison, interacting: set[str]) -> list[str]:
    """The source against itself: the rows of a batch, and each row alone.

    A bar may be tighter than the model's own rounding: that alone is no influence.
    """
    return [
        "rows of a batch influence each other in the source itself, so requests cannot be joined: "
        f"{finding.describe()}. Declare the tensors without the batch axis, or mend the model "
        "(statistics over the batch, BatchNorm in training mode)"
        for finding in own_rows.findings()
        if not finding.holds and finding.output in interacting
    ][:1]


def _hidden_state(
    source: LoadedSource,
    samples: Samples,
    batched: bool,
    runner: OnnxRuntimeRunner,
    references: list[Arrays],
) -> list[str]:
    """Run the first samples again, after the others: a model with a memory answers otherwise."""
    reasons = []
    for index in range(min(3, len(samples.items))):
        inputs = _inputs(samples, index, batched)
        again = source.run(inputs)
        if _changed(references[index], again):
            reasons.append(
                f"the source answered sample {index} differently the second time: it keeps a "
                "state between calls, or draws random numbers; pass the state in and out as "
                "tensors, and remove the randomness"
            )
            break
        if _changed(runner.run(inputs), runner.run(inputs)):
            reasons.append(
                f"the variant answered sample {index} differently the second time: its graph "
                "draws random numbers (RandomNormal, Dropout in training mode)"
            )
            break
    return reasons


def _changed(first: Arrays, second: Arrays) -> bool:
    return any(_differ(first[name], second[name], STATE_TOLERANCE) for name in first)


def _differ(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """True where floats differ by more than ``tolerance`` of the scale, or others at all."""
    if a.shape != b.shape:
        return True
    if a.dtype.kind != "f":
        return not np.array_equal(a, b)
    scale = finite_scale(a) or 1.0
    return not np.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True)


def _golden_choice(samples: Samples) -> list[int]:
    """Indices spread evenly over the samples."""
    count = min(GOLDEN_ITEMS, len(samples.items))
    return sorted({round(index) for index in np.linspace(0, len(samples.items) - 1, count)})
