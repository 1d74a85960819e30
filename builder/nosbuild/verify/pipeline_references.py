"""Original models that pass values on go in; their answers to every sample come out as files.

The files are those of ``references``: items/, golden/ and facts.json. Each sample goes through all
models alone: what one of them makes of several at once may have another shape (padded texts).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import InputError, SampleError
from nosbuild.tensors import TensorSpec
from nosbuild.verify.golden import GOLDEN_ITEMS, Answer, write_golden
from nosbuild.verify.python_references import chunks_of
from nosbuild.verify.references import FACTS, GOLDEN, ITEMS, REPEATED_ITEMS, changed, spread
from nosbuild.verify.run import alone
from nosbuild.verify.samples import Samples, load_samples

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.spec import ModelSpec
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
    write_golden(out / ITEMS, samples.items, answers)
    chosen = spread(len(samples.items), GOLDEN_ITEMS)
    write_golden(
        out / GOLDEN,
        [samples.items[index] for index in chosen],
        [answers[index] for index in chosen],
    )
    reasons = _not_finite(answers, source.outputs)
    for index in range(min(REPEATED_ITEMS, len(answers))):
        again = chunks_of(_answer(source, samples, index, batched))
        before = chunks_of(answers[index])
        if len(before) != len(again) or any(map(changed, before, again)):
            reasons.append(
                f"the models answered sample {index} differently the second time: one of them "
                "keeps a state between calls, or draws random numbers"
            )
            break
    facts = {"samples": len(answers), "real": samples.real, "reasons": reasons}
    (out / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return facts


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


def _not_finite(answers: Sequence[Answer], outputs: Sequence[TensorSpec]) -> list[str]:
    for index, answer in enumerate(answers):
        for chunk in chunks_of(answer):
            for tensor in outputs:
                if tensor.dtype.is_float and np.isnan(chunk[tensor.name]).any():
                    return [f"the originals give NaN in {tensor.name} for sample {index}"]
    return []
