"""A golden sample goes in; its request and the answer expected come out, as Triton has them.

A golden sample is one item without the batch axis. Triton has no tensors without axes: what has
none in the model is sent as [1] (repository/config.py declares it so).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nosbuild.prove.published import PublishedVersion

Arrays = dict[str, npt.NDArray[Any]]


def request_of(published: PublishedVersion, index: int) -> Arrays:
    """The inputs of one request."""
    sample = published.samples[index]
    return {name: _sent(published, array) for name, array in sample.inputs.items()}


def answer_to(published: PublishedVersion, index: int) -> Arrays:
    """The outputs that the source gave, as Triton would send them; none of a stream, whose
    answers have sizes of their own. What may be filled up is as large as the largest of all.
    """
    sample = published.samples[index]
    return {
        name: _sent(published, _filled(published, name, array))
        for name, array in sample.outputs.items()
    }


def references(published: PublishedVersion, index: int) -> list[Arrays]:
    """The outputs that the source gave, as a comparison takes them: a batch of one, or an item;
    of a stream, every chunk.
    """
    sample = published.samples[index]
    answers = [sample.outputs] if sample.chunks is None else list(sample.chunks)
    return [
        {name: array[None] if published.max_batch_size else array for name, array in one.items()}
        for one in answers
    ]


def candidates(answer: Arrays, expected: Arrays) -> Arrays:
    """What came back, likewise: text where text is expected, and without the axis of a scalar."""
    found = {}
    for name, reference in expected.items():
        array = answer[name]
        if array.ndim == reference.ndim + 1 and array.shape == (*reference.shape, 1):
            array = array.reshape(reference.shape)
        is_text = array.dtype == object and not any(isinstance(v, bytes) for v in reference.flat)
        found[name] = _text(array) if is_text else array
    return found


def _sent(published: PublishedVersion, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    item = array if array.ndim else array.reshape(1)
    return item[None] if published.max_batch_size else item


def _filled(published: PublishedVersion, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if name not in published.pad:
        return array
    sizes = zip(*(sample.outputs[name].shape for sample in published.samples), strict=True)
    missing = [(0, max(each) - own) for each, own in zip(sizes, array.shape, strict=True)]
    return np.pad(array, missing, constant_values=published.pad[name])


def _text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    text = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        text[index] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return text
