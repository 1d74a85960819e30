"""A class goes in; what its method answers to every sample, called plainly, comes out as files.

The files are those of ``references``: items/, golden/ and facts.json. Each sample is one call, as a
user would call it; nothing is batched and nothing is converted twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import SampleError
from nosbuild.source.python_worker import Raised
from nosbuild.verify.golden import GOLDEN_ITEMS, Answer, write_golden
from nosbuild.verify.references import (
    FACTS,
    GOLDEN,
    ITEMS,
    REPEATED_ITEMS,
    changed,
    spread,
)
from nosbuild.verify.samples import Samples, load_samples

_OF_THE_ANSWER = ("output ", "the method returned ")
"""How the adapter begins what it says of an answer that is not the declared one."""

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.source.python_class import PythonClass
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec


def collect_answers(
    spec: ModelSpec,
    source: PythonClass,
    out: Path,
    *,
    elsewhere: Collection[str] = (),
    images: Collection[str] = (),
) -> dict[str, Any]:
    """Call the method on every sample; write ``out``.

    Args:
        spec: of one method, its tensors known.
        source: the class.
        out: the folder to write into.
        elsewhere: inputs that other methods of the class take.
        images: inputs that hold the file of an image, which cannot be drawn.

    Returns:
        ``samples``, how many; ``real``, whether the user's; ``reasons`` against the class itself;
        ``unequal``, outputs whose sizes differ so that no tensor holds a batch of them.

    Raises:
        SampleError: the samples do not fit, or the method raises on one of them.
        Refused: the class's process ended.
    """
    if images and spec.samples is None:
        raise SampleError(
            f"{spec.file}: {', '.join(images)} of {spec.name} is an image, which cannot be drawn",
            "Name real ones: samples: samples.py:samples, a function that yields dicts.",
        )
    samples = load_samples(spec, source.inputs, elsewhere)
    answers = [_answer(source, samples, index) for index in range(len(samples.items))]
    reasons = [
        *not_finite(answers, source.outputs, "the class itself gives"),
        *_other_answers(source, samples, answers),
    ]
    unequal = [t.name for t in source.outputs if _is_unequal(t, source, answers)]
    return {**keep_answers(out, samples, answers, reasons), "unequal": unequal}


def chunks_of(answer: Answer) -> Sequence[Arrays]:
    """What was answered, one after the other; of a method that does not stream, once."""
    return [answer] if isinstance(answer, dict) else answer


def not_finite(answers: Sequence[Answer], outputs: Sequence[TensorSpec], says: str) -> list[str]:
    """The first NaN among the answers, as a reason; ``says``: who gives it, and a verb."""
    for index, answer in enumerate(answers):
        for chunk in chunks_of(answer):
            for tensor in outputs:
                if tensor.dtype.is_float and np.isnan(chunk[tensor.name]).any():
                    return [f"{says} NaN in {tensor.name} for sample {index}"]
    return []


def keep_answers(
    out: Path, samples: Samples, answers: Sequence[Answer], reasons: list[str]
) -> dict[str, Any]:
    """Write the items, the golden samples and the facts; the facts come back."""
    write_golden(out / ITEMS, samples.items, answers)
    chosen = spread(len(samples.items), GOLDEN_ITEMS)
    write_golden(
        out / GOLDEN,
        [samples.items[index] for index in chosen],
        [answers[index] for index in chosen],
    )
    facts = {"samples": len(answers), "real": samples.real, "reasons": reasons}
    (out / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return facts


def _answer(source: PythonClass, samples: Samples, index: int) -> Answer:
    reference = f"{source.binding['reference']} ({source.binding['method']})"
    try:
        return source.direct(samples.items[index])
    except Raised as exc:
        kind = "sample" if samples.real else "random input"
        if not exc.where and exc.message.startswith(_OF_THE_ANSWER):
            raise SampleError(
                f"{reference} answered {kind} {index} otherwise than it declares: {exc.message}",
                "Mend what the method returns, or what is said of it: its annotation, or outputs: "
                "in the model.yaml.",
            ) from exc
        raise SampleError(
            f"{reference} raised on {kind} {index}: {exc}",
            "Mend the method, or yield samples that it takes."
            if samples.real
            else "Name inputs that it takes: samples: samples.py:samples in the model.yaml.",
        ) from exc


def _is_unequal(tensor: TensorSpec, source: PythonClass, answers: Sequence[Answer]) -> bool:
    """Whether a batch of these answers has no shape, and nothing fills them up.

    Axes of the inputs do not count: the items of a batch have them alike. A method that returns the
    array of a whole batch sees to it itself.
    """
    entry = next(one for one in source.binding["outputs"] if one["name"] == tensor.name)
    makes_batches = source.binding["takes"] == "batch" and entry["kind"] == "array"
    if makes_batches or not tensor.is_batched or tensor.name in source.binding["pad"]:
        return False
    alike = {axis for one in source.inputs for axis in one.shape}
    free = [place for place, axis in enumerate(tensor.item_shape) if axis not in alike]
    shapes = [np.shape(chunk[tensor.name]) for one in answers for chunk in chunks_of(one)]
    return any(len({shape[place] for shape in shapes}) > 1 for place in free)


def _other_answers(source: PythonClass, samples: Samples, answers: Sequence[Answer]) -> list[str]:
    """Ask for the first samples again, after the others."""
    for index in range(min(REPEATED_ITEMS, len(samples.items))):
        before, again = chunks_of(answers[index]), chunks_of(_answer(source, samples, index))
        if len(before) != len(again) or any(map(changed, before, again)):
            return [
                f"{source.binding['reference']} answered sample {index} differently the second "
                "time: it draws random numbers, or keeps a state between calls. Seed it "
                "(random.Random(0)), or pass the state in and out"
            ]
    return []
