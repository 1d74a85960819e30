"""A class, and what it answers when it is called plainly, go in; a Proof of its adapter comes out.

The adapter takes tensors and joins requests. What must hold is that nobody notices: through the
very code that Triton runs, alone and together with others, every sample gets the plain answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import Refused
from nosbuild.source.python_worker import Raised
from nosbuild.store.hashing import sha256_of_files
from nosbuild.verify.compare import Comparison
from nosbuild.verify.golden import GoldenSample
from nosbuild.verify.proof import Proof
from nosbuild.verify.python_references import chunks_of
from nosbuild.verify.references import References, batch_sizes
from nosbuild.verify.run import alone
from nosbuild.verify.samples import batches, join

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.source.python_class import PythonClass
    from nosbuild.spec import ModelSpec
    from nosbuild.verify.golden import Answer
    from nosbuild.verify.padding import Padding
    from nosbuild.verify.samples import Batch


def prove_class(
    spec: ModelSpec, source: PythonClass, artifact: Path, variant: str, references: References
) -> Proof:
    """Send every sample through the adapter and compare with the plain answers.

    Args:
        spec: of one method, its tensors known.
        source: the class.
        artifact: the version folder, all of which the proof speaks of.
        variant: its name.
        references: the plain answers.

    Raises:
        Refused: a request is not answered, or in another shape.
    """
    together = Comparison(spec, source.outputs, source.binding["pad"])
    single = Comparison(spec, source.outputs)
    sizes = batch_sizes(spec)
    for index, sample in enumerate(references.items):
        (found,) = _answers(source, [alone(sample.inputs, bool(spec.is_batched))], [index])
        _compare(single, found, sample, index, 1, batched=bool(spec.is_batched))
    for size in sizes[1:]:
        _requests_of_one(together, source, references.items, size)
        _requests_of_many(together, source, references.items, size)
    if source.streams:
        _streams_at_once(together, source, references.items)
    holds_alone = all(finding.holds for finding in single.findings())
    holds_together = all(finding.holds for finding in together.findings())
    reasons = list(references.reasons)
    if holds_alone and not holds_together:
        reasons.append(
            "requests that are joined influence each other: a sample alone gets another answer "
            "than in a batch. Let the method look at each row by itself; or write batching: false"
        )
    if not any(chunks_of(_answer_of(sample)) for sample in references.items):
        reasons.append("the method yields nothing for any sample, so nothing could be compared")
    single.join(together)
    return Proof(
        variant=variant,
        artifact=sha256_of_files((p for p in artifact.rglob("*") if p.is_file()), artifact),
        findings=single.findings(),
        reasons=tuple(reasons),
        samples=len(references.items),
        real_samples=references.real,
        batches=sizes,
    )


def _requests_of_one(
    comparison: Comparison, source: PythonClass, items: Sequence[GoldenSample], size: int
) -> None:
    """So many requests that arrive together, each of one item, whatever its shape."""
    for start in range(0, len(items), size):
        indices = [(start + row) % len(items) for row in range(size)]
        requests = [alone(items[index].inputs, True) for index in indices]
        answers = _answers(source, requests, indices)
        for index, answer in zip(indices, answers, strict=True):
            _compare(comparison, answer, items[index], index, size, batched=True)


def _requests_of_many(
    comparison: Comparison, source: PythonClass, items: Sequence[GoldenSample], size: int
) -> None:
    """One request of so many rows, as a client sends that has a batch."""
    inputs = [item.inputs for item in items]
    outputs = [item.outputs for item in items]
    for batch in batches(inputs, size, every_shape=False):
        kept = list(_fitting(source, comparison.padding, inputs, outputs, batch))
        rows = [kept[position % len(kept)] for position in range(size)]
        answers = _answers(source, [join(inputs, rows).inputs], rows)
        comparison.add_rows(_plain(answers[0]), outputs, rows)


def _fitting(
    source: PythonClass,
    padding: Padding,
    inputs: Sequence[Arrays],
    outputs: Sequence[Arrays],
    batch: Batch,
) -> Iterator[int]:
    """The items that can be rows of one request: answers of one size, but for what may be filled
    up, and options of one value.
    """
    options = [row["name"] for row in source.binding["inputs"] if row["option"]]
    first = batch.indices[0]

    def alike(index: int) -> bool:
        return padding.are_alike(outputs[first], outputs[index]) and all(
            (inputs[index][n] == inputs[first][n]).all() for n in options if n in inputs[first]
        )

    return (index for index in dict.fromkeys(batch.indices) if alike(index))


def _streams_at_once(
    comparison: Comparison, source: PythonClass, items: Sequence[GoldenSample]
) -> None:
    answers = _answers(source, [item.inputs for item in items], list(range(len(items))))
    for index, answer in enumerate(answers):
        _compare(comparison, answer, items[index], index, 1, batched=False)


def _answers(
    source: PythonClass, requests: Sequence[Arrays], indices: Sequence[int]
) -> list[Answer]:
    answers: list[Answer] = []
    for position, answer in enumerate(source.adapted(requests)):
        if isinstance(answer, Raised):
            sample = indices[position]
            raise Refused(
                f"{source.binding['reference']} cannot answer sample {sample} in a batch of "
                f"{len(indices)}, which it answers when called plainly: {answer}",
                "A method that takes a batch returns one row for each of its rows, whatever their "
                "number; let it take one item otherwise.",
            )
        answers.append(answer)
    return answers


def _compare(
    comparison: Comparison,
    answer: Answer,
    sample: GoldenSample,
    index: int,
    batch: int,
    *,
    batched: bool,
) -> None:
    found, expected = chunks_of(answer), chunks_of(_answer_of(sample))
    if len(found) != len(expected):
        raise Refused(
            f"sample {index} is answered in {len(found)} chunks, and in {len(expected)} when the "
            "method is called plainly",
            "Let what the method yields depend on its arguments alone.",
        )
    for chunk, plain in zip(found, expected, strict=True):
        comparison.add(chunk, alone(plain, batched), [index], batch)


def _answer_of(sample: GoldenSample) -> Answer:
    return sample.outputs if sample.chunks is None else sample.chunks


def _plain(answer: Answer) -> Arrays:
    assert isinstance(answer, dict)
    return answer
