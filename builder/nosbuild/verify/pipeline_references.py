"""Original models that pass values on go in; their answers to every sample come out as files.

The files are those of ``references``: items/, golden/ and facts.json. Each sample goes through all
models alone: what one of them makes of several at once may have another shape (padded texts).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import InputError, SampleError
from nosbuild.verify.python_references import chunks_of, keep_answers, not_finite
from nosbuild.verify.references import REPEATED_ITEMS, changed
from nosbuild.verify.run import alone
from nosbuild.verify.samples import Samples, load_samples

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.spec import ModelSpec
    from nosbuild.verify.golden import Answer
    from nosbuild.verify.pipeline_runner import PipelineRunner


def collect_pipeline_answers(spec: ModelSpec, source: PipelineRunner, out: Path) -> dict[str, Any]:
    """Run the original models on every sample of the pipeline; write ``out``.

    Args:
        spec: of the pipeline, its tensors known.
        source: the original models.
        out: the folder to write into.

    Returns:
        ``samples``, how many; ``real``, whether the user's; ``reasons`` against the originals.

    Raises:
        SampleError: the samples do not fit, or the models cannot run one of them.
    """
    samples = load_samples(spec, source.inputs)
    batched = bool(spec.is_batched)
    answers = [_answer(source, samples, index, batched) for index in range(len(samples.items))]
    reasons = not_finite(answers, source.outputs, "the originals give")
    for index in range(min(REPEATED_ITEMS, len(answers))):
        again = chunks_of(_answer(source, samples, index, batched))
        before = chunks_of(answers[index])
        if len(before) != len(again) or any(map(changed, before, again)):
            reasons.append(
                f"the models answered sample {index} differently the second time: one of them "
                "keeps a state between calls, or draws random numbers"
            )
            break
    return keep_answers(out, samples, answers, reasons)


def _answer(source: PipelineRunner, samples: Samples, index: int, batched: bool) -> Answer:
    """The outputs of one item, without the batch axis; of a stream, those of every chunk."""
    try:
        answer = source.run(alone(samples.items[index], batched))
    except InputError:
        raise
    except Exception as exc:
        raise SampleError(
            f"the original models cannot run sample {index}: {exc}",
            "Yield samples that the first of them takes, and let each give what the next takes.",
        ) from exc
    if isinstance(answer, dict):
        return _item(answer, batched)
    return [_item(chunk, batched) for chunk in answer]


def _item(arrays: Arrays, batched: bool) -> Arrays:
    if not batched:
        return arrays
    return {name: array[0, ...] for name, array in arrays.items()}
