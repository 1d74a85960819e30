"""Golden samples of a model with states go in; the same as requests of sequences come out.

States cannot be sent: Triton keeps them. What can be replayed is a sequence from its first request
on, whose later answers show that the server kept the very states that the source had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import model_config_pb2

from nosbuild.errors import RepositoryError
from nosbuild.tensors import dtype_from_triton
from nosbuild.verify.golden import Arrays, GoldenSample
from nosbuild.verify.sequence_samples import sequences_among


@dataclass(frozen=True)
class SequenceSamples:
    """Golden samples as clients send them."""

    samples: tuple[GoldenSample, ...]
    """Without states."""
    sequences: tuple[tuple[int, ...], ...]
    """Indices of samples, each tuple one sequence from its first request on."""
    left_out: int
    """Samples of which nothing tells how their states came about."""


def sequence_samples(
    config: Any, samples: Sequence[GoldenSample], state: Mapping[str, str] | None
) -> SequenceSamples:
    """Samples of a model whose config has ``sequence_batching``.

    Args:
        config: the ModelConfig.
        samples: with states.
        state: input -> output, as the model was built; None: as the config says.

    Raises:
        RepositoryError: the config does not keep a state that the model was built with.
    """
    section = config.sequence_batching
    if state is None:
        state = {entry.input_name: entry.output_name for entry in section.state}
    if state:
        initial = {entry.input_name: _initial(entry) for entry in section.state}
        if lost := sorted(set(state) - set(initial)):
            raise RepositoryError(
                f"the config.pbtxt of {config.name} keeps no state {', '.join(lost)}",
                "Build the model again.",
            )
        found = sequences_among(samples, state, initial)
    else:
        found = [[index] for index in range(len(samples))]
    order = [index for sequence in found for index in sequence]
    places = {index: place for place, index in enumerate(order)}
    outputs = set(state.values())
    return SequenceSamples(
        samples=tuple(_without(samples[index], set(state), outputs) for index in order),
        sequences=tuple(tuple(places[index] for index in sequence) for sequence in found),
        left_out=len(samples) - len(order),
    )


def _initial(entry: Any) -> np.ndarray:
    """A state's zeros for one item, as a build writes them into config.pbtxt."""
    kind = model_config_pb2.DataType.Name(entry.data_type).removeprefix("TYPE_")
    dtype = dtype_from_triton("BYTES" if kind == "STRING" else kind)
    shape = tuple(1 if size < 0 else int(size) for size in entry.dims)
    if dtype.name == "string":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype.numpy)


def _without(sample: GoldenSample, inputs: set[str], outputs: set[str]) -> GoldenSample:
    def rest(arrays: Arrays, names: set[str]) -> Arrays:
        return {name: array for name, array in arrays.items() if name not in names}

    return GoldenSample(rest(sample.inputs, inputs), rest(sample.outputs, outputs), sample.chunks)
