"""A pipeline as it is published, and its originals' answers, go in; a Proof comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import Refused
from nosbuild.export.pipeline_graph import PIPELINE_FILE
from nosbuild.store.hashing import sha256_of_file
from nosbuild.verify.compare import Comparison
from nosbuild.verify.golden import GoldenSample
from nosbuild.verify.proof import Proof
from nosbuild.verify.python_references import chunks_of
from nosbuild.verify.references import REPEATED_ITEMS, References, batch_sizes, changed
from nosbuild.verify.run import alone
from nosbuild.verify.samples import batches, join

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.spec import ModelSpec
    from nosbuild.spec.padding import PadValue
    from nosbuild.verify.padding import Padding
    from nosbuild.verify.pipeline_runner import PipelineRunner
    from nosbuild.verify.samples import Batch


def prove_pipeline(
    spec: ModelSpec,
    runner: PipelineRunner,
    artifact: Path,
    variant: str,
    references: References,
    pad: Mapping[str, PadValue],
) -> Proof:
    """Compare what is published with the originals: alone, and in batches.

    Args:
        spec: of the pipeline, its tensors known.
        runner: what is published of its models, passing values on.
        artifact: folder with ``pipeline.json``, which the proof speaks of.
        variant: its name.
        references: what the originals answered to each sample alone.
        pad: output -> value that a class among its models fills it up with.

    Raises:
        Refused: a sample is not answered, or in another shape, or in other chunks.
    """
    batched = bool(spec.is_batched)
    single = Comparison(spec, runner.outputs)
    together = Comparison(spec, runner.outputs, {} if runner.streams else pad)
    for index, sample in enumerate(references.items):
        found = _chunks(runner, sample, index, batched)
        for chunk, original in zip(found, _original(sample), strict=True):
            single.add(chunk, alone(original, batched), [index])
    sizes = (1,) if runner.streams else batch_sizes(spec)
    for size in sizes[1:]:
        _in_batches(together, runner, references.items, size)
    reasons = [*references.reasons, *_random(runner, references.items, batched)]
    alone_holds = all(finding.holds for finding in single.findings())
    if alone_holds and not all(finding.holds for finding in together.findings()):
        reasons.append(
            "rows of a batch influence each other: a sample alone gets another answer than beside "
            "others. Look at how each model fills up rows of unequal length"
        )
    if not any(_original(sample) for sample in references.items):
        reasons.append("the pipeline streams nothing for any sample, so nothing could be compared")
    single.join(together)
    return Proof(
        variant=variant,
        artifact={PIPELINE_FILE: sha256_of_file(artifact / PIPELINE_FILE)},
        findings=single.findings(),
        reasons=tuple(reasons),
        samples=len(references.items),
        real_samples=references.real,
        batches=sizes,
    )


def _chunks(
    runner: PipelineRunner, sample: GoldenSample, index: int, batched: bool
) -> Sequence[Arrays]:
    found = chunks_of(runner.run(alone(sample.inputs, batched)))
    if len(found) != len(_original(sample)):
        raise Refused(
            f"sample {index} is answered in {len(found)} chunks, the originals give "
            f"{len(_original(sample))}",
            "Let what a model streams depend on its inputs alone.",
        )
    return found


def _original(sample: GoldenSample) -> Sequence[Arrays]:
    return [sample.outputs] if sample.chunks is None else sample.chunks


def _in_batches(
    comparison: Comparison, runner: PipelineRunner, items: Sequence[GoldenSample], size: int
) -> None:
    inputs, outputs = [item.inputs for item in items], [item.outputs for item in items]
    for batch in batches(inputs, size, every_shape=False):
        kept = list(_alike(comparison.padding, outputs, batch))
        rows = [kept[position % len(kept)] for position in range(size)]
        found = runner.run(join(inputs, rows).inputs)
        comparison.add_rows(found, outputs, rows)


def _alike(padding: Padding, outputs: Sequence[Arrays], batch: Batch) -> Iterator[int]:
    """Those that are answered in one size, but for what may be filled up: only they can be rows of
    one answer.
    """
    first = outputs[batch.indices[0]]
    for index in dict.fromkeys(batch.indices):
        if padding.are_alike(first, outputs[index]):
            yield index


def _random(runner: PipelineRunner, items: Sequence[GoldenSample], batched: bool) -> Iterator[str]:
    for index, sample in enumerate(items[:REPEATED_ITEMS]):
        first, again = (_chunks(runner, sample, index, batched) for _ in range(2))
        if any(map(changed, first, again)):
            yield (
                f"sample {index} is answered differently the second time: one of the models keeps "
                "a state between requests, or draws random numbers"
            )
            return
