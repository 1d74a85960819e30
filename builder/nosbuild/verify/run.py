"""The proof step: an artifact and the source's answers go in; a Proof comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import Refused
from nosbuild.store.hashing import sha256_of_files
from nosbuild.verify.compare import Comparison
from nosbuild.verify.proof import Proof
from nosbuild.verify.references import (
    REPEATED_ITEMS,
    References,
    batch_sizes,
    changed,
    differ,
    stack,
)
from nosbuild.verify.samples import batches, join

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec
    from nosbuild.verify.runner import Runner

ROWS_TOLERANCE = 1e-3
"""Largest change, relative to the output's scale, between a row of a batch and that row alone.

Other shapes run other kernels, which round otherwise; a row that sees its neighbours changes more.
"""


def prove(
    spec: ModelSpec,
    runner: Runner,
    artifact: Path,
    variant: str,
    references: References,
    stand_in: Runner | None = None,
) -> Proof:
    """Compare a variant with what the source answered.

    Each sample's reference is the source at batch 1. The variant runs at batch 1, typical and
    max, and every row must keep to the bars: that proves the numbers and, in one go, that rows
    of a batch do not influence each other, which is what lets Triton join strangers' requests.

    Args:
        spec: with its tensors known.
        runner: runs the artifact.
        artifact: folder whose files ``model.*`` the proof speaks of.
        variant: its name.
        references: of the same spec.
        stand_in: answers as the artifact would on the hardware that it is for, where this machine
            computes it otherwise; it must keep to the bars as well.

    Raises:
        Refused: the variant cannot run a sample, or answers in another shape.
    """
    outputs = _declared(spec)
    batched = bool(spec.is_batched)
    comparison = Comparison(spec, outputs)
    compare(comparison, runner, references, batch_sizes(spec), batched)
    if stand_in is not None:
        rounded = Comparison(spec, outputs)
        compare(rounded, stand_in, references, batch_sizes(spec), batched)
        comparison.join(rounded)
    noise, interact = _source_itself(spec, outputs, references, batched)
    reasons = [*references.reasons, *interact, *_random(runner, references, batched)]
    return Proof(
        variant=variant,
        artifact=sha256_of_files(artifact.glob("model.*"), artifact),
        findings=comparison.findings(noise),
        reasons=tuple(reasons),
        samples=len(references.items),
        real_samples=references.real,
        batches=batch_sizes(spec),
    )


def compare(
    comparison: Comparison,
    runner: Runner,
    references: References,
    sizes: Sequence[int],
    batched: bool,
) -> None:
    """Run every item alone, then in batches of the other sizes, and add it all to ``comparison``.

    Raises:
        Refused: the variant cannot run a sample, or answers in another shape.
    """
    items, answers = references.inputs, [item.outputs for item in references.items]
    for index in range(len(items)):
        found = _run(runner, alone(items[index], batched), [index])
        comparison.add(found, alone(answers[index], batched), [index])
    for size in sizes[1:]:
        for batch in batches(items, size, every_shape=size != sizes[-1]):
            found = _run(runner, batch.inputs, batch.indices)
            comparison.add(found, stack(answers, batch), batch.indices)


def _declared(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    if spec.outputs is None:
        raise ValueError("a proof needs a spec whose tensors are known: spec.with_tensors(...)")
    return tuple(spec.outputs.values())


def alone(arrays: Arrays, batched: bool) -> Arrays:
    """An item as a batch of one; as it is where there is no batch axis."""
    return {name: array[None] for name, array in arrays.items()} if batched else arrays


def _run(runner: Runner, inputs: Arrays, indices: Sequence[int]) -> Arrays:
    try:
        return runner.run(inputs)
    except Exception as exc:
        raise Refused(
            f"the variant cannot run sample {indices[0]} in a batch of {len(indices)}, "
            f"which the source can: {' '.join(str(exc).split())[:400]}",
            "Look for Python control flow on sizes or values in the model: an export holds only "
            "the path that its example took.",
        ) from exc


def _source_itself(
    spec: ModelSpec, outputs: tuple[TensorSpec, ...], references: References, batched: bool
) -> tuple[Comparison, list[str]]:
    """The source against itself: its rounding noise, and whether rows see their neighbours.

    A bar may be tighter than the model's own rounding: that alone is no influence.
    """
    noise, rows = Comparison(spec, outputs), Comparison(spec, outputs)
    answers = [item.outputs for item in references.items]
    interacting: set[str] = set()
    for index, precise in enumerate(references.precise):
        noise.add(alone(precise.outputs, batched), alone(answers[index], batched), [index])
    for size, together in references.together.items():
        batch = next(batches(references.inputs, size, every_shape=False))
        apart = stack(answers, batch)
        for comparison in (noise, rows):
            comparison.add(together.outputs, apart, batch.indices)
        interacting |= {n for n in apart if differ(apart[n], together.outputs[n], ROWS_TOLERANCE)}
    reasons = [
        "rows of a batch influence each other in the source itself, so requests cannot be joined: "
        f"{finding.describe()}. Declare the tensors without the batch axis, or mend the model "
        "(statistics over the batch, BatchNorm in training mode)"
        for finding in rows.findings()
        if not finding.holds and finding.output in interacting
    ]
    return noise, reasons[:1]


def _random(runner: Runner, references: References, batched: bool) -> list[str]:
    for index, item in enumerate(references.items[:REPEATED_ITEMS]):
        inputs = join([item.inputs], [0]).inputs if batched else item.inputs
        if changed(runner.run(inputs), runner.run(inputs)):
            return [
                f"the variant answered sample {index} differently the second time: its graph "
                "draws random numbers (RandomNormal, Dropout in training mode)"
            ]
    return []
