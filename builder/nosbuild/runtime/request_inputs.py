"""A file or nothing goes in; input arrays that fit a running model come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.errors import RequestError, SpecError
from nosbuild.tensors import BATCH, Dim, TensorSpec, dtype_from_triton

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosclient import ModelInfo, TensorInfo

Arrays = dict[str, np.ndarray]


def inputs_from_file(path: Path, info: ModelInfo) -> Arrays:
    """Read a request.

    JSON: ``{"input": values}``, a list of such objects (one an item, joined to a batch), or for
    a model with one input just the rows; npz: one array an input; npy: the one input.

    Raises:
        RequestError: unreadable, or no request of this model.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                content: Any = {name: stored[name] for name in stored.files}
        elif path.suffix == ".npy":
            content = np.load(path, allow_pickle=False)
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RequestError(
            f"{path} cannot be read: {exc}", "Name a JSON, npz or npy file."
        ) from exc
    return _arrays(content, info, path)


def _arrays(content: Any, info: ModelInfo, path: Path) -> Arrays:
    names = [tensor.name for tensor in info.inputs]
    if isinstance(content, list) and content and isinstance(content[0], dict):
        missing = [name for name in names for item in content if name not in item]
        if missing:
            raise RequestError(f"{path}: an item lacks {missing[0]}", f"The model takes {info}.")
        content = {name: [item[name] for item in content] for name in names}
    if not isinstance(content, dict):
        if len(names) != 1:
            raise RequestError(
                f"{path} holds bare rows, but the model has {len(names)} inputs",
                f'Write {{"{names[0]}": ..., ...}}; the model takes {info}.',
            )
        content = {names[0]: content}
    by_name = {tensor.name: tensor for tensor in info.inputs}
    unknown = [name for name in content if name not in by_name]
    if unknown:
        raise RequestError(
            f"{path}: {unknown[0]} is no input of {info.name}", f"The model takes {info}."
        )
    return {name: _array(value, by_name[name], info, path) for name, value in content.items()}


def _array(value: Any, tensor: TensorInfo, info: ModelInfo, path: Path) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=tensor.dtype)
    except (ValueError, TypeError, OverflowError) as exc:
        raise RequestError(
            f"{path}: {tensor.name} is no array of {tensor.datatype}: {exc}",
            f"The model takes {info}.",
        ) from exc
    one_item = info.max_batch_size > 0 and array.ndim == len(tensor.shape) - 1
    return array[None] if one_item else array


def random_inputs_for(info: ModelInfo, repository: Path | None, batch: int) -> Arrays:
    """Seeded random arrays of typical size, in the ranges that the model's spec gives.

    Args:
        info: the running model.
        repository: where its model.yaml may lie; axes that nothing tells have size 8.
        batch: items in the request.
    """
    from nosbuild.source.random_inputs import random_inputs

    spec = _spec(repository, info.name)
    declared = {tensor.name: tensor for tensor in (spec.input_tensors or ())} if spec else {}
    tensors = [declared.get(row.name) or _tensor_spec(row, info) for row in info.inputs]
    sizes = {axis: 8 for tensor in tensors for axis in tensor.axes.values()}
    if spec:
        sizes |= {axis: spec.dim_range(axis).typical for axis in sizes if axis in spec.dims}
    return random_inputs(tensors, {**sizes, BATCH: batch})


def _spec(repository: Path | None, name: str) -> ModelSpec | None:
    from nosbuild.spec import load_spec

    if repository is None or not (repository / name / "model.yaml").is_file():
        return None
    try:
        return load_spec(repository / name)
    except SpecError:
        return None  # being edited: what is served is told by the server


def _tensor_spec(row: TensorInfo, info: ModelInfo) -> TensorSpec:
    shape: list[Dim] = [size if size > 0 else f"{row.name}_{i}" for i, size in enumerate(row.shape)]
    if info.max_batch_size > 0:
        shape[0] = BATCH
    return TensorSpec(row.name, dtype_from_triton(row.datatype), tuple(shape))
