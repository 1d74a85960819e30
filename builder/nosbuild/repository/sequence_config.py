"""A spec's states and sequence go in; ``sequence_batching`` of config.pbtxt comes out.

A build proves a model with its states as ordinary inputs and outputs; only here they leave the
interface and become Triton's to keep.
Format: ModelSequenceBatching in model_config.proto, docs/user_guide/implicit_state_management.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tritonclient.grpc import model_config_pb2

from nosbuild.spec.sequences import Sequence as SequenceSection
from nosbuild.tensors import TensorSpec

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def is_sequence_model(spec: ModelSpec) -> bool:
    """True where requests belong to sequences, which dynamic batching excludes."""
    return bool(spec.state) or spec.sequence is not None


def sent_inputs(inputs: Iterable[TensorSpec], spec: ModelSpec) -> list[TensorSpec]:
    """The inputs that a client sends: all but the states."""
    return [tensor for tensor in inputs if tensor.name not in spec.state]


def answered_outputs(outputs: Iterable[TensorSpec], spec: ModelSpec) -> list[TensorSpec]:
    """The outputs that a client gets: all but the states."""
    states = set(spec.state.values())
    return [tensor for tensor in outputs if tensor.name not in states]


def fill_sequence_batching(
    config: Any,
    spec: ModelSpec,
    states: Iterable[TensorSpec],
    dims: Mapping[str, Sequence[int]],
) -> None:
    """Write ``config.sequence_batching``.

    Args:
        config: the ModelConfig.
        spec: of a sequence model, with its tensors known.
        states: the inputs that are states.
        dims: of each, without the batch axis; -1 where they vary.
    """
    settings = spec.sequence or SequenceSection()
    section = config.sequence_batching
    section.max_sequence_idle_microseconds = settings.idle_timeout_us
    if settings.strategy == "direct":
        section.direct.SetInParent()
    else:
        section.oldest.max_candidate_sequences = settings.max_sequences
    for tensor in states:
        kind = model_config_pb2.DataType.Value(tensor.dtype.config)
        message = section.state.add(
            input_name=tensor.name, output_name=spec.state[tensor.name], data_type=kind
        )
        message.dims.extend(dims[tensor.name])
        initial = message.initial_state.add(name="zeros", data_type=kind, zero_data=True)
        # Whatever stands here, Triton begins with a size of 1 where the state's own varies.
        initial.dims.extend(1 if dim < 0 else dim for dim in dims[tensor.name])


def share_states(config: Any, shared: Any) -> None:
    """Copy what versions served side by side must have in common, where a model has states."""
    if config.sequence_batching.state:
        shared.sequence_batching.state.extend(config.sequence_batching.state)
