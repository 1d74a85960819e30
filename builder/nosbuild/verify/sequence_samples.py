"""Sequences of requests go in; items with the states that the source itself reached come out.

A model with states is proven as a function of inputs and states. Only its source can tell which
states it reaches, so a sample function yields sequences: a list of requests without their states,
which begins with the initial states (``source/states.py``) and goes on with those answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import SampleError
from nosbuild.source.random_inputs import random_inputs
from nosbuild.source.references import call, load_callable
from nosbuild.source.sizes import sizes_to_check
from nosbuild.source.states import initial_states
from nosbuild.tensors import BATCH, TensorSpec
from nosbuild.verify.golden import GOLDEN_ITEMS, GoldenSample
from nosbuild.verify.sample_item import Item, checked_item
from nosbuild.verify.samples import MOST_ITEMS, Samples

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.spec import ModelSpec

RANDOM_STEPS = 8
"""Requests of each random sequence, where a spec names no samples."""
MOST_GOLDEN_SEQUENCES = 8
"""Beginnings kept beside a model, of so many sequences at most."""

_REMEDY = (
    "Yield one list for each sequence: its requests in order, each a dict of input name -> array "
    "without the states."
)


def run_sequences(
    spec: ModelSpec, inputs: Sequence[TensorSpec], run: Callable[[Item, int], Arrays]
) -> tuple[Samples, list[Arrays]]:
    """Every request of every sequence with its states, and the source's answer to it.

    Args:
        spec: with its tensors known, of a model with states.
        inputs: of the model, states among them.
        run: the source's answer to one item; its second argument is the item's index.

    Raises:
        SampleError: the sample function raises, yields nothing, or what does not fit; or nothing
            that it yields begins with the initial states.
    """
    items: list[Item] = []
    answers: list[Arrays] = []
    for where, requests in _sequences(spec, inputs):
        states = initial_states(spec)
        for number, request in enumerate(requests):
            place = f"{where}, request {number}" if where else ""
            item = _with_states(request, states, place, spec, inputs)
            if item is None:
                break
            if len(items) == MOST_ITEMS:
                return Samples(tuple(items), spec.samples is not None), answers
            answer = run(item, len(items))
            items.append(item)
            answers.append(answer)
            states = {name: answer[output] for name, output in spec.state.items()}
    return Samples(tuple(items), spec.samples is not None), answers


def golden_choice(spec: ModelSpec, samples: Sequence[GoldenSample]) -> list[int]:
    """Indices of the samples to keep: beginnings of sequences, spread over all of them."""
    found = sequences_among(samples, spec.state, initial_states(spec))
    count = min(len(found), MOST_GOLDEN_SEQUENCES)
    chosen = {round(index) for index in np.linspace(0, len(found) - 1, count)}
    length = GOLDEN_ITEMS // len(chosen)
    return [index for number in sorted(chosen) for index in found[number][:length]]


def sequences_among(
    samples: Sequence[GoldenSample],
    state: Mapping[str, str],
    initial: Mapping[str, np.ndarray],
) -> list[list[int]]:
    """Indices of samples that follow one another, each list from the initial states on.

    A sample follows the one before it where it holds the very states that this one answered.
    """
    found: list[list[int]] = []
    for index, sample in enumerate(samples):
        states = {name: sample.inputs[name] for name in state}
        previous = samples[index - 1].outputs if index else {}
        if found and found[-1][-1] == index - 1 and _equal(states, previous, state):
            found[-1].append(index)
        elif _equal(states, initial, {name: name for name in state}):
            found.append([index])
    return found


def _equal(
    states: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray], names: Mapping[str, str]
) -> bool:
    return all(
        states[name].dtype == others[other].dtype and np.array_equal(states[name], others[other])
        for name, other in names.items()
    )


def _sequences(
    spec: ModelSpec, inputs: Sequence[TensorSpec]
) -> Iterator[tuple[str, Iterable[Any]]]:
    """Where each sequence comes from, and its requests; drawn ones come from nowhere."""
    if spec.samples is None:
        sent = [tensor for tensor in inputs if tensor.name not in spec.state]
        for seed, sizes in enumerate(sizes_to_check(spec, inputs)):
            yield "", _drawn(sent, sizes, seed, bool(spec.is_batched))
        return
    what = f"samples: {spec.samples}"
    function = load_callable(spec.samples, spec.folder, SampleError)
    found = call(lambda: _listed(function(), what), what, spec.folder, SampleError)
    if not any(found):
        raise SampleError(f"{what} yielded no sequence", _REMEDY)
    for index, requests in enumerate(found):
        yield f"{what}, sequence {index}", requests


def _listed(result: Any, what: str) -> list[list[Any]]:
    sequences = []
    for found in islice(result if isinstance(result, Iterable) else (), MOST_ITEMS):
        if isinstance(found, (Mapping, str)) or not isinstance(found, Iterable):
            raise SampleError(f"{what} yielded a {type(found).__name__}, no sequence", _REMEDY)
        sequences.append(list(islice(found, MOST_ITEMS)))
    return sequences


def _drawn(
    tensors: Sequence[TensorSpec], sizes: dict[str, int], seed: int, batched: bool
) -> Iterator[Item]:
    if batched:
        rows = random_inputs(tensors, {**sizes, BATCH: RANDOM_STEPS}, seed=seed)
        yield from ({n: a[row, ...] for n, a in rows.items()} for row in range(RANDOM_STEPS))
        return
    for step in range(RANDOM_STEPS):
        yield random_inputs(tensors, sizes, seed=1000 * seed + step)


def _with_states(
    request: Any,
    states: dict[str, np.ndarray],
    where: str,
    spec: ModelSpec,
    inputs: Sequence[TensorSpec],
) -> Item | None:
    """The whole item; None where a drawn sequence has grown beyond the ranges of the axes."""
    if where and isinstance(request, Mapping) and (own := sorted(set(request) & set(states))):
        raise SampleError(f"{where} holds {', '.join(own)}, which the model gives itself", _REMEDY)
    sent = [tensor for tensor in inputs if tensor.name not in states]
    item = checked_item(request, where, spec, sent)
    try:
        return checked_item({**item, **states}, where, spec, inputs)
    except SampleError:
        if where:
            raise
        return None
