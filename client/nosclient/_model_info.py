"""The server's JSON about models in, frozen dataclasses out.

Both protocols speak the same JSON, except that gRPC's (protobuf's JSON mapping) writes 64-bit
integers as strings and leaves out zeros, and that its lists come wrapped in an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

MODEL_MANAGER = "model_manager"
"""The model that loads and unloads the others, on a server that loads on demand."""

_NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """The numpy dtype of a datatype of the protocol; strings are object arrays of bytes."""
    known = _NUMPY.get(datatype)
    if known is not None:
        return known
    # numpy has no bfloat16: which dtype stands for it depends on tritonclient's release.
    from tritonclient.utils import triton_to_np_dtype

    stand_in = triton_to_np_dtype(datatype)
    if stand_in is None:
        raise ValueError(f"{datatype!r} is no datatype of the protocol")
    dtype: np.dtype[Any] = np.dtype(stand_in)
    return dtype


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model, as the server declares it."""

    name: str
    datatype: str
    """KServe v2 name: ``FP32``, ``INT64``, ``BYTES`` ..."""
    shape: tuple[int, ...]
    """-1 where the size varies; the batch axis, where there is one, comes first and is -1."""
    optional: bool = False
    """True for an input that may be left out."""
    axes: tuple[str, ...] = ()
    """Names of the axes, where the model tells them; empty for one of a fixed size."""

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype; strings are object arrays of bytes."""
        return numpy_dtype(self.datatype)

    @cached_property
    def fixed(self) -> tuple[tuple[int, int], ...]:
        """Axis and size of those that do not vary."""
        return tuple((axis, size) for axis, size in enumerate(self.shape) if size >= 0)

    def __str__(self) -> str:
        mark = "?" if self.optional else ""
        names = self.axes or ("",) * len(self.shape)
        sizes = (
            name if name and size < 0 else str(size)
            for name, size in zip(names, self.shape, strict=True)
        )
        return f"{self.name}{mark}: {self.datatype}[{','.join(sizes)}]"


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives: all that is needed to check a request."""

    name: str
    versions: tuple[str, ...]
    platform: str
    backend: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    max_batch_size: int
    """0 where the first axis is no batch axis."""
    dynamic_batching: bool
    description: str
    decoupled: bool = False
    """True where one request has any number of answers: to be called with ``stream``."""
    streams_in_legs: bool = False
    """True where a long stream is several requests, so that its reader sets the pace."""
    sequence_batching: bool = False
    """True where requests belong to sequences: to be called with ``sequence``."""

    @cached_property
    def inputs_by_name(self) -> Mapping[str, TensorInfo]:
        """Name -> input."""
        return {tensor.name: tensor for tensor in self.inputs}

    @cached_property
    def required(self) -> frozenset[str]:
        """Names of the inputs that every request must have."""
        return frozenset(tensor.name for tensor in self.inputs if not tensor.optional)

    @cached_property
    def shared_axes(self) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
        """Names of axes that several inputs have, and which: input and axis. Not the batch."""
        found: dict[str, list[tuple[str, int]]] = {}
        for tensor in self.inputs:
            for axis, name in enumerate(tensor.axes):
                if name and not (axis == 0 and self.max_batch_size > 0):
                    found.setdefault(name, []).append((tensor.name, axis))
        return tuple((name, tuple(places)) for name, places in found.items() if len(places) > 1)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.inputs))})"


@dataclass(frozen=True)
class ModelInfo(Signature):
    """A model as it stands on the server."""

    state: str = ""
    """``READY``, ``LOADING``, ``UNLOADING`` or ``UNAVAILABLE``."""

    def __str__(self) -> str:
        """``name(inputs) -> outputs``; a Signature, as errors show it, has the inputs alone."""
        return f"{super().__str__()} -> {', '.join(map(str, self.outputs)) or 'nothing'}"


@dataclass(frozen=True)
class ModelSummary:
    """One line of the server's repository index."""

    name: str
    version: str
    """Empty for a model that was never loaded."""
    state: str
    """As in ModelInfo; empty for a model that was never loaded."""
    reason: str
    """Why it is unavailable, in the server's words."""


@dataclass(frozen=True)
class Duration:
    """How often a phase ran and how long it took in all."""

    count: int
    ns: int


@dataclass(frozen=True)
class ModelStatistics:
    """What the server counted for a model since it was loaded; summed over its versions."""

    name: str
    inference_count: int
    """Items answered; a request with a batch of 8 counts 8."""
    execution_count: int
    """Runs of the model; fewer than inferences where batching happens."""
    last_inference_ms: int
    """When the last request completed, in milliseconds since the epoch; 0 for never."""
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration
    executions_by_batch_size: Mapping[int, int]


def parse_signature(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> Signature:
    """Signature of a loaded model from its metadata and its configuration."""
    return Signature(**_signature_fields(metadata, config))


def parse_model_info(
    metadata: Mapping[str, Any], config: Mapping[str, Any], index: Sequence[ModelSummary]
) -> ModelInfo:
    """The same with the model's state in the repository index."""
    fields = _signature_fields(metadata, config)
    states = [
        row.state
        for row in index
        if row.name == fields["name"] and row.version in fields["versions"]
    ]
    return ModelInfo(**fields, state=states[-1] if states else "")


def parse_index(answer: Any) -> list[ModelSummary]:
    """The repository index."""
    rows = answer.get("models", []) if isinstance(answer, Mapping) else answer
    return [
        ModelSummary(
            row["name"], row.get("version", ""), row.get("state", ""), row.get("reason", "")
        )
        for row in rows
    ]


def parse_statistics(name: str, answer: Mapping[str, Any]) -> ModelStatistics:
    """Statistics of one model, summed over the versions in the answer."""
    rows = answer.get("model_stats", [])

    def total(phase: str) -> Duration:
        parts = [row.get("inference_stats", {}).get(phase, {}) for row in rows]
        return Duration(
            sum(int(part.get("count", 0)) for part in parts),
            sum(int(part.get("ns", 0)) for part in parts),
        )

    batches: dict[int, int] = {}
    for batch in (batch for row in rows for batch in row.get("batch_stats", [])):
        size = int(batch.get("batch_size", 0))
        batches[size] = batches.get(size, 0) + int(batch.get("compute_infer", {}).get("count", 0))
    return ModelStatistics(
        name=name,
        inference_count=sum(int(row.get("inference_count", 0)) for row in rows),
        execution_count=sum(int(row.get("execution_count", 0)) for row in rows),
        last_inference_ms=max((int(row.get("last_inference", 0)) for row in rows), default=0),
        success=total("success"),
        fail=total("fail"),
        queue=total("queue"),
        compute_input=total("compute_input"),
        compute_infer=total("compute_infer"),
        compute_output=total("compute_output"),
        cache_hit=total("cache_hit"),
        cache_miss=total("cache_miss"),
        executions_by_batch_size=batches,
    )


def _signature_fields(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    config = config.get("config", config)
    optional = {row["name"] for row in config.get("input", []) if row.get("optional", False)}
    description = config.get("parameters", {}).get("description", {})
    axes = _axis_names(config)
    return {
        "name": metadata["name"],
        "versions": tuple(metadata.get("versions", [])),
        "platform": metadata.get("platform", ""),
        "backend": config.get("backend", ""),
        "inputs": tuple(_tensor(row, optional, axes) for row in metadata.get("inputs", [])),
        "outputs": tuple(_tensor(row, set(), axes) for row in metadata.get("outputs", [])),
        "max_batch_size": int(config.get("max_batch_size", 0)),
        "dynamic_batching": "dynamic_batching" in config,
        "description": description.get("string_value", ""),
        "decoupled": bool(config.get("model_transaction_policy", {}).get("decoupled", False)),
        "streams_in_legs": "stream_legs" in config.get("parameters", {}),
        "sequence_batching": "sequence_batching" in config,
    }


def _tensor(row: Mapping[str, Any], optional: set[str], axes: Mapping[str, Any]) -> TensorInfo:
    name, shape = row["name"], tuple(int(size) for size in row.get("shape", []))
    names = axes.get(name, ())
    fits = len(names) == len(shape) and all(isinstance(axis, str) for axis in names)
    return TensorInfo(name, row["datatype"], shape, name in optional, tuple(names) if fits else ())


def _axis_names(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """As nosbuild writes them: JSON, tensor -> names. Others may mean something else by it."""
    text = config.get("parameters", {}).get("axis_names", {}).get("string_value", "")
    try:
        names = json.loads(text) if text else {}
    except ValueError:
        return {}
    is_ours = isinstance(names, dict) and all(isinstance(row, list) for row in names.values())
    return names if is_ours else {}
