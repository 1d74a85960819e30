"""A file or nothing goes in; inputs for a running model come out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from nosbuild.errors import RequestError, SpecError
from nosbuild.tensors import BATCH, Dim, TensorSpec, dtype_from_triton

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosclient import ModelInfo, TensorInfo

Arrays = dict[str, np.ndarray]
_WORD = "hello"


def inputs_from_file(path: Path, info: ModelInfo) -> dict[str, Any]:
    """Read a request; whether the values fit the model is for the client to say.

    JSON: ``{"input": values}``, a list of such objects (one an item, joined to a batch), or for
    a model with one input just the rows; npz: one array an input; npy: the one input. Any other
    file is the one string of a model that takes one: a text, an image. The batch axis is added to
    a bare item; one word or number an item makes a batch of as many.

    Raises:
        RequestError: unreadable, or no request.
    """
    content = _content(path, info)
    names = [tensor.name for tensor in info.inputs]
    if isinstance(content, list) and any(isinstance(item, dict) for item in content):
        return _joined(content, path)
    if not isinstance(content, dict):
        if len(names) != 1:
            taken = ", ".join(map(str, info.inputs))
            raise RequestError(
                f"{path} holds bare rows, but the model has {len(names)} inputs",
                f'Write {{"{names[0]}": ..., ...}}; the model takes {taken}.',
            )
        content = {names[0]: content}
    # [batch, 1] is one word an item, which the client takes as a plain list.
    axes = {tensor.name: len(tensor.shape) for tensor in info.inputs if tensor.shape != (-1, 1)}
    if info.max_batch_size == 0:
        return content
    return {
        name: _batch_of_one(value) if _axes(value) + 1 == axes.get(name) else value
        for name, value in content.items()
    }


def as_sent(inputs: dict[str, Any], info: ModelInfo) -> Arrays:
    """The inputs with the dtypes and the axes that the client, which took them, sends."""
    tensors = {tensor.name: tensor for tensor in info.inputs}
    return {name: _as_sent(value, tensors[name], info) for name, value in inputs.items()}


def _as_sent(value: Any, tensor: TensorInfo, info: ModelInfo) -> np.ndarray:
    array = np.asarray(value, dtype=tensor.dtype)
    if array.ndim == 0:
        return array.reshape((1,) * len(tensor.shape))
    if array.ndim == 1 and info.max_batch_size > 0 and tensor.shape == (-1, 1):
        return array[:, None]
    return array


def _content(path: Path, info: ModelInfo) -> Any:
    fits = "Name a JSON, npz or npy file."
    is_text = len(info.inputs) == 1 and info.inputs[0].datatype == "BYTES"
    try:
        if path.suffix in (".npz", ".npy"):
            return _stored(path)
        raw = path.read_bytes()
        try:
            return json.loads(raw.decode())
        except ValueError:  # no text, or no JSON
            if not is_text or path.suffix == ".json":
                raise
            return raw
    except FileNotFoundError as error:
        raise RequestError(f"{path}: there is no such file", fits) from error
    except json.JSONDecodeError as error:
        raise RequestError(
            f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}",
            f"Correct it at line {error.lineno}, column {error.colno}.",
        ) from error
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}", fits) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path} is no text, hence no JSON",
            f"{fits} Any other file goes to a model with one input, of strings.",
        ) from error
    except (ValueError, EOFError, BadZipFile) as error:
        # numpy takes whatever it does not know for a pickle, and advises to trust it.
        raise RequestError(
            f"{path} is no {path.suffix[1:]} file, or holds Python objects",
            "Write it with numpy.save or numpy.savez, from arrays of numbers.",
        ) from error


def _stored(path: Path) -> Any:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _joined(items: list[Any], path: Path) -> dict[str, list[Any]]:
    for position, item in enumerate(items):
        if not isinstance(item, dict) or item.keys() != items[0].keys():
            raise RequestError(
                f"{path}: item {position} differs from item 0 in its inputs",
                "Give every item of the list the same inputs.",
            )
    return {name: [item[name] for item in items] for name in items[0]}


def _axes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.ndim
    return 1 + _axes(value[0]) if isinstance(value, list) and value else int(value == [])


def _batch_of_one(value: Any) -> Any:
    return value[None] if isinstance(value, np.ndarray) else [value]


def random_inputs_for(info: ModelInfo, repository: Path | None, batch: int) -> Arrays:
    """Seeded random arrays of typical size, in the ranges that the model's spec gives.

    Args:
        info: the running model.
        repository: where its model.yaml may lie; axes that nothing tells have size 8.
        batch: items in the request.
    """
    from nosbuild.source.random_inputs import random_inputs

    spec = _spec(repository, info.name)
    if spec and not spec.source.is_exported:
        spec = None  # it declares what a method takes, which is not always what Triton does
    declared = {tensor.name: tensor for tensor in (spec.input_tensors or ())} if spec else {}
    given = [row for row in info.inputs if not row.optional] or info.inputs
    tensors = [declared.get(row.name) or _tensor_spec(row, info) for row in given]
    if info.max_batch_size:  # Triton has no tensors without axes: one number an item is [batch, 1]
        axes = {row.name: len(row.shape) for row in info.inputs}
        tensors = [
            replace(tensor, shape=(*tensor.shape, 1))
            if len(tensor.shape) == 1 and axes[tensor.name] == 2
            else tensor
            for tensor in tensors
        ]
    sizes = {axis: 8 for tensor in tensors for axis in tensor.axes.values()}
    if spec:
        sizes |= {axis: spec.dim_range(axis).typical for axis in sizes if axis in spec.dims}
    drawn = random_inputs(tensors, {**sizes, BATCH: batch})
    for array in drawn.values():
        if array.dtype == object:
            array[array == ""] = _WORD  # many models have nothing to say to no text
    return drawn


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
