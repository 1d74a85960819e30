"""A built model's folder goes in; what another model must know to call it comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from nosbuild.errors import RepositoryError
from nosbuild.export.pipeline_graph import Graph
from nosbuild.plan import RunsOn
from nosbuild.repository.calls import calls_of, newest_served
from nosbuild.repository.config import read_config
from nosbuild.repository.ensemble_config import ENSEMBLE
from nosbuild.repository.layout import GOLDEN, LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.spec.declared_tensors import parse_tensors
from nosbuild.spec.padding import PadValue
from nosbuild.store.hashing import sha256_of_value
from nosbuild.tensors import BATCH, Dim, TensorSpec, dtype_from_triton
from nosbuild.verify.golden import read_golden


@dataclass(frozen=True)
class Member:
    """A model of the repository as others call it: the version that Triton serves to them."""

    name: str
    version: int
    """The newest that its config.pbtxt serves: what ``model_version: -1`` means."""
    variant: str
    folder: Path
    """Of that version."""
    runs_on: RunsOn
    """Its ``backend`` is ``ensemble`` for a pipeline."""
    inputs: tuple[TensorSpec, ...]
    """As the model itself has them, with the batch axis where Triton batches; axes that vary bear
    the names of its model.yaml, where that declares them."""
    outputs: tuple[TensorSpec, ...]
    optional: frozenset[str]
    """Inputs that a request may leave out."""
    max_batch_size: int
    """0 where the first axis is no batch."""
    decoupled: bool
    """A request has any number of answers (a stream)."""
    stateful: bool
    """It remembers between the requests of a sequence."""
    digest: str
    """Of the files that it serves, and of those of the models that it calls: while it is the same,
    the answers are."""
    calls: tuple[str, ...] = ()
    """Models that it calls itself."""
    dims: Mapping[str, str] = field(default_factory=dict)
    """Axis -> ``min..typical..max``, where its model.yaml tells."""
    pad: Mapping[str, PadValue] = field(default_factory=dict)
    """Output -> what its rows are filled up with to the longest of a batch."""

    @property
    def backend(self) -> str:
        """Triton's name: onnxruntime, tensorrt, python; ``ensemble`` for a pipeline."""
        return self.runs_on.backend

    @property
    def batched(self) -> bool:
        """True where Triton may join requests."""
        return self.max_batch_size > 0

    @property
    def repository(self) -> Path:
        """The repository that it is in."""
        return self.folder.parent.parent

    @property
    def graph(self) -> Graph | None:
        """Of a pipeline; None for any other model."""
        return Graph.read(self.folder) if self.backend == ENSEMBLE else None

    @property
    def interface(self) -> str:
        """Digest of what a caller depends on: names, dtypes, shapes, batching."""
        return sha256_of_value(
            {
                "inputs": {t.name: _interface(t, t.name in self.optional) for t in self.inputs},
                "outputs": {t.name: _interface(t, False) for t in self.outputs},
                "max_batch_size": self.max_batch_size,
                "decoupled": self.decoupled,
                "stateful": self.stateful,
            }
        )


def read_member(folder: ModelFolder) -> Member:
    """The newest version that is served of a model that a build made.

    Raises:
        RepositoryError: it is not built, was made by hand, or its files cannot be read.
    """
    config = read_config(folder.config)
    version = newest_served(folder, config)
    path = folder.version(version) / LOCK
    if not path.is_file():
        raise RepositoryError(
            f"{folder.path}: version {version} has no {LOCK}: no build made it, so nothing tells "
            "what it should answer",
            f"Give {folder.name} a model.yaml, and build it: nosbuild build {folder.path}",
        )
    lock = read_lock(path)
    said = lock.tensors or lock.spec or {}
    calls = calls_of(config, lock)
    scalars = _scalars(config, path.parent)
    return Member(
        name=folder.name,
        version=version,
        variant=lock.variant,
        folder=path.parent,
        runs_on=_runs_on(config),
        inputs=_tensors(config, "inputs", said.get("inputs"), scalars),
        outputs=_tensors(config, "outputs", said.get("outputs"), scalars),
        optional=frozenset(row.name for row in config.input if row.optional),
        max_batch_size=config.max_batch_size,
        decoupled=config.model_transaction_policy.decoupled,
        stateful=config.HasField("sequence_batching"),
        digest=_digest(folder, {}),
        calls=calls,
        dims=dict(said.get("dims") or {}),
        pad=lock.details.get("pad", {}),
    )


def _digest(folder: ModelFolder, known: dict[str, str]) -> str:
    """Of all that decides its answers; models may call each other in a circle."""
    if folder.name in known or not folder.is_built:
        return known.get(folder.name, "")
    known[folder.name] = ""
    config = read_config(folder.config)
    version = newest_served(folder, config)
    path = folder.version(version) / LOCK
    if path.is_file():
        lock = read_lock(path)
        beside = [ModelFolder(folder.path.parent / name) for name in calls_of(config, lock)]
        known[folder.name] = sha256_of_value(
            {
                "artifact": lock.artifact,
                "backend": lock.backend,
                "environment": (lock.details.get("environment") or {}).get("key"),
                "calls": {other.name: _digest(other, known) for other in beside},
            }
        )
    return known[folder.name]


def _interface(tensor: TensorSpec, optional: bool) -> list[Any]:
    sizes = [dim if isinstance(dim, int) else -1 for dim in tensor.shape]
    return [tensor.dtype.name, sizes, optional]


def _scalars(config: Any, version: Path) -> frozenset[str]:
    """Tensors without axes, which an unbatched model's config.pbtxt shows as [1]: the golden
    samples tell them from those that have one axis of size 1.
    """
    shown = {row.name for row in (*config.input, *config.output) if list(row.dims) == [1]}
    if config.max_batch_size or not shown:
        return frozenset()  # a batched one has a reshape
    samples = read_golden(version / GOLDEN)
    chunks = (chunk for sample in samples for chunk in sample.chunks or ())
    arrays = {**samples[0].inputs, **samples[0].outputs, **next(chunks, {})} if samples else {}
    return frozenset(name for name in shown & set(arrays) if arrays[name].ndim == 0)


def _tensors(
    config: Any, section: str, said: Any, scalars: frozenset[str]
) -> tuple[TensorSpec, ...]:
    """The tensors of a config.pbtxt with the shapes and axes of the model itself."""
    parsed = parse_tensors(section, said) if said else {}
    known = parsed if isinstance(parsed, dict) else {}
    rows = config.input if section == "inputs" else config.output
    batch: Sequence[Dim] = (BATCH,) if config.max_batch_size else ()
    found = []
    for row in rows:
        sizes = list(row.reshape.shape) if row.HasField("reshape") else list(row.dims)
        dims = _named(row.name, [] if row.name in scalars else sizes, known.get(row.name))
        limits = known[row.name].range if row.name in known else None
        dtype = dtype_from_triton(model_config_pb2.DataType.Name(row.data_type))
        found.append(TensorSpec(row.name, dtype, (*batch, *dims), limits))
    return tuple(found)


def _named(name: str, sizes: Sequence[int], declared: TensorSpec | None) -> list[Dim]:
    """The sizes, with a name for each axis that varies: the declared one where it fits."""
    names = [re.sub(r"\W", "_", f"{name}_{axis}") for axis in range(len(sizes))]
    if declared is not None and len(declared.item_shape) == len(sizes):
        said = zip(declared.item_shape, names, strict=True)
        names = [dim if isinstance(dim, str) else own for dim, own in said]
    return [size if size > 0 else own for size, own in zip(sizes, names, strict=True)]


def _runs_on(config: Any) -> RunsOn:
    if config.platform == ENSEMBLE:
        return RunsOn(ENSEMBLE)
    on_gpu = any(group.kind == group.KIND_GPU for group in config.instance_group)
    if config.backend != "onnxruntime" or not on_gpu:
        return RunsOn(config.backend)
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name == "tensorrt":
            return RunsOn("onnxruntime", "tensorrt", dict(accelerator.parameters))
    return RunsOn("onnxruntime", "cuda")
