"""A VerifiedVariant and its spec go in; Triton's ModelConfig comes out, and text both ways.

Format: model_config.proto of triton-inference-server/common, as tritonclient carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from nosbuild.errors import RepositoryError
from nosbuild.repository.axis_names import set_axis_names
from nosbuild.repository.ensemble_config import is_ensemble, set_ensemble, share_ensemble
from nosbuild.repository.python_config import PYTHON, set_python, share_python, warms_up
from nosbuild.repository.sequence_config import (
    answered_outputs,
    fill_sequence_batching,
    is_sequence_model,
    sent_inputs,
    share_states,
)
from nosbuild.store.hashing import sha256_of_value
from nosbuild.tensors import BATCH, TensorSpec

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.spec.yaml_source import KeyPath
    from nosbuild.verify.variant import VerifiedVariant

MAX_EXECUTION_SECONDS = "max_execution_seconds"
"""Parameter that a worker watches its executions by (nos_python_model/execution_deadline.py)."""

ModelConfig = Any
"""``model_config_pb2.ModelConfig``, which carries no type information."""


def model_config(
    variant: VerifiedVariant, spec: ModelSpec, warmup: Sequence[Any], versions: Sequence[int]
) -> ModelConfig:
    """The whole configuration; nothing is left for Triton to guess.

    Args:
        variant: what is served.
        spec: how the user wants it served.
        warmup: ModelWarmup messages.
        versions: the versions that Triton is to serve.

    Raises:
        SpecError: ``optimization`` or ``raw`` hold what Triton's configuration does not know.
    """
    config = model_config_pb2.ModelConfig(name=spec.name, backend=variant.runs_on.backend)
    config.max_batch_size = spec.max_batch_size
    inputs, outputs = sent_inputs(variant.inputs, spec), answered_outputs(variant.outputs, spec)
    for tensor in inputs:
        _fill(config.input.add(), tensor, spec)
    for tensor in outputs:
        _fill(config.output.add(), tensor, spec)
    set_axis_names(config, [*inputs, *outputs])
    if variant.runs_on.backend == PYTHON:
        set_python(config, variant.details, spec)
    config.version_policy.specific.versions.extend(versions)
    if is_ensemble(variant):
        set_ensemble(config, variant.artifact)
    else:
        _instances(config, variant, spec)
    if is_sequence_model(spec):
        states = [tensor for tensor in variant.inputs if tensor.name in spec.state]
        dims = {tensor.name: config_dims(tensor, spec) for tensor in states}
        fill_sequence_batching(config, spec, states, dims)
    elif not is_ensemble(variant):
        _batching(config, spec)
    config.model_warmup.extend(warmup)
    if spec.response_cache and not config.model_transaction_policy.decoupled:
        config.response_cache.enable = True  # Triton refuses to keep streams
    if spec.max_execution_seconds is not None:
        seconds = str(spec.max_execution_seconds).removesuffix(".0")
        config.parameters[MAX_EXECUTION_SECONDS].string_value = seconds
    if spec.description:
        config.parameters["description"].string_value = spec.description
    _optimization(config, spec)
    _raw(config, spec)
    return config


def interface_digest(config: ModelConfig) -> str:
    """Digest of what all versions that one config.pbtxt serves must have in common."""
    shared = model_config_pb2.ModelConfig(
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        input=config.input,
        output=config.output,
    )
    share_python(config, shared)
    share_ensemble(config, shared)
    share_states(config, shared)
    return sha256_of_value(text_format.MessageToString(shared))


def config_dims(tensor: TensorSpec, spec: ModelSpec) -> list[int]:
    """Dims as config.pbtxt writes them: no batch axis, -1 for an axis that varies.

    A tensor without axes stands as [1]. Where Triton batches, ``reshape`` to [] takes that axis
    away again; where it does not, Triton refuses such a reshape and the backends do it themselves.
    """
    dims = []
    for dim in tensor.item_shape:
        if isinstance(dim, int):
            dims.append(dim)
            continue
        span = spec.dims.get(dim)
        dims.append(span.min if span is not None and span.min == span.max else -1)
    return dims or [1]


def _fill(message: Any, tensor: TensorSpec, spec: ModelSpec) -> None:
    message.name = tensor.name
    message.data_type = model_config_pb2.DataType.Value(tensor.dtype.config)
    message.dims.extend(config_dims(tensor, spec))
    if tensor.optional:
        message.optional = True
    if not tensor.item_shape and spec.max_batch_size:
        message.reshape.SetInParent()  # present and empty: a shape of no axes


def _instances(config: ModelConfig, variant: VerifiedVariant, spec: ModelSpec) -> None:
    group = config.instance_group.add()
    group.count = variant.measurement.instances
    if spec.instances.kind == "gpu" or variant.runs_on.needs_gpu:
        group.kind = group.KIND_GPU
        group.gpus.extend(spec.instances.gpus)
        if variant.runs_on.accelerator == "tensorrt":
            accelerators = config.optimization.execution_accelerators
            accelerators.gpu_execution_accelerator.add(
                name="tensorrt", parameters=variant.runs_on.parameters
            )
        return
    group.kind = group.KIND_CPU
    if variant.runs_on.backend == PYTHON:
        return  # its threads are its own
    # The name that NVIDIA's C++ ONNX Runtime backend reads; ours reads the same.
    threads = str(variant.measurement.threads)
    config.parameters["intra_op_thread_count"].string_value = threads


def _batching(config: ModelConfig, spec: ModelSpec) -> None:
    batching = spec.batching
    if not config.max_batch_size or (batching is not None and not batching.enabled):
        return
    section = config.dynamic_batching
    section.SetInParent()  # present, with defaults: batch whatever waits
    if batching is None:
        return
    section.preferred_batch_size.extend(batching.preferred)
    section.max_queue_delay_microseconds = batching.max_delay_us
    section.preserve_ordering = batching.preserve_ordering
    section.priority_levels = batching.priority_levels
    section.default_priority_level = batching.default_priority
    if batching.queue is not None:
        policy = section.default_queue_policy
        policy.timeout_action = policy.DELAY if batching.queue.action == "delay" else policy.REJECT
        policy.default_timeout_microseconds = batching.queue.timeout_us
        policy.allow_timeout_override = batching.queue.allow_timeout_override
        policy.max_queue_size = batching.queue.max_size


def warmup_files(
    variant: VerifiedVariant, spec: ModelSpec, item: dict[str, Any], prefix: str
) -> tuple[list[Any], dict[str, bytes]]:
    """Warm-up requests from one real item, at batch 1 and the typical batch.

    Returns:
        ModelWarmup messages, and file name -> bytes for the model's warmup folder.
    """
    from tritonclient.utils import serialize_byte_tensor

    messages: list[Any] = []
    files: dict[str, bytes] = {}
    if is_ensemble(variant):
        return messages, files  # its models have theirs
    if variant.runs_on.backend == PYTHON and not warms_up(variant.details):
        return messages, files
    if is_sequence_model(spec):
        return messages, files  # Triton sends them outside of any sequence, without a state
    sizes = sorted({1, spec.dim_range(BATCH).typical}) if spec.max_batch_size else [1]
    inputs = [tensor for tensor in variant.inputs if tensor.name in item]
    for index, tensor in enumerate(inputs):
        array = item[tensor.name]
        is_text = tensor.dtype.name == "string"
        data = serialize_byte_tensor(array).item() if is_text else array.tobytes()
        files[f"{prefix}-{index}"] = data  # by position: a tensor's name may hold a slash
    for size in sizes:
        message = model_config_pb2.ModelWarmup(name=f"batch_{size}", batch_size=size)
        for index, tensor in enumerate(inputs):
            field = message.inputs[tensor.name]
            field.data_type = model_config_pb2.DataType.Value(tensor.dtype.config)
            field.dims.extend(item[tensor.name].shape or [1])
            field.input_data_file = f"{prefix}-{index}"
        messages.append(message)
    return messages, files


def _raw(config: ModelConfig, spec: ModelSpec) -> None:
    """Set the fields of ``raw``: maps (parameters, ...) are added to, all else is replaced."""
    for key, value in spec.raw.items():
        field = _field(key, config, spec)
        if field.message_type is None or not field.message_type.GetOptions().map_entry:
            config.ClearField(field.name)
        parsed = model_config_pb2.ModelConfig()  # apart: ParseDict clears a map before it fills it
        _parse(("raw", key), {key: value}, parsed, spec)
        config.MergeFrom(parsed)


def _field(key: str, config: ModelConfig, spec: ModelSpec) -> Any:
    """The protobuf field of a raw key, which may be in camelCase as protobuf-JSON allows."""
    for field in config.DESCRIPTOR.fields:
        if key in (field.name, field.json_name):
            return field
    raise spec.error(
        ("raw", key),
        "is no field of Triton's ModelConfig",
        f"write one of {', '.join(sorted(f.name for f in config.DESCRIPTOR.fields))}",
    )


def _optimization(config: ModelConfig, spec: ModelSpec) -> None:
    if spec.optimization:
        _parse(("optimization",), {"optimization": spec.optimization}, config, spec)


def _parse(key: KeyPath, content: dict[str, Any], config: ModelConfig, spec: ModelSpec) -> None:
    try:
        json_format.ParseDict(content, config)
    except json_format.ParseError as exc:
        raise spec.error(
            key,
            f"does not fit Triton's ModelConfig: {exc}",
            "write the fields as in model_config.proto, in protobuf's JSON form",
        ) from exc


def write_text(config: ModelConfig) -> str:
    """The configuration as config.pbtxt holds it."""
    header = "# Written by nosbuild from model.yaml; edit that and build again.\n"
    return header + str(text_format.MessageToString(config))


def read_config(path: Path) -> ModelConfig:
    """Parse a config.pbtxt.

    Raises:
        RepositoryError: unreadable, or no ModelConfig; the message has Triton's line and column.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError) as exc:
        raise RepositoryError(f"{path} cannot be read: {exc}", "Build the model again.") from exc
    except text_format.ParseError as exc:
        raise RepositoryError(
            f"{path}: {exc}", "Correct that line, or build the model again."
        ) from exc


def check_settings(spec: ModelSpec) -> None:
    """Look at ``optimization``, ``raw`` and ``batching`` before anything is built.

    Raises:
        SpecError: they hold what Triton's configuration does not know, or what it refuses.
    """
    batching = spec.batching
    if batching and batching.preserve_ordering and batching.priority_levels > 1:
        raise spec.error(
            ("batching", "preserve_ordering"),
            f"does not go with {batching.priority_levels} priority levels, as Triton has it",
            "remove one of the two",
        )
    config = model_config_pb2.ModelConfig()
    _optimization(config, spec)
    _raw(config, spec)
