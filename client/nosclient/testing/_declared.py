"""A fake model's tensors as its author writes them, and its answers checked against them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._call import Tensor
from nosclient._model_info import TensorInfo

_DATATYPES = frozenset(
    {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"}
    | {"FP16", "BF16", "FP32", "FP64", "BYTES"}
)
_AXIS = r"(-1|\d+|[A-Za-z_]\w*)"
_SPEC = re.compile(rf"(?P<datatype>[A-Z0-9]+)\[(?P<shape>{_AXIS}(,\s*{_AXIS})*)?\]")


class InvalidFake(ValueError):
    """The fake is wrong, not the code that it tests: declared, or answering, as no Triton would."""


def tensor_infos(
    model: str, declared: Mapping[str, str], max_batch_size: int
) -> tuple[TensorInfo, ...]:
    """Tensors from ``{"text": "BYTES[-1,1]", "ids?": "INT64[-1,seq]"}``, as ModelInfo prints them.

    Raises:
        InvalidFake: no such datatype or shape, or no batch axis where there must be one.
    """
    infos = []
    for key, spec in declared.items():
        match = _SPEC.fullmatch(spec)
        if match is None or match["datatype"] not in _DATATYPES:
            raise InvalidFake(
                f"{model!r}: {key!r} is declared {spec!r}; write a datatype and a shape, such as "
                f"'FP32[-1,4]', with one of {', '.join(sorted(_DATATYPES))}"
            )
        axes = [axis.strip() for axis in (match["shape"] or "").split(",") if axis]
        names = tuple(axis if axis.isidentifier() else "" for axis in axes)
        shape = tuple(-1 if name else int(axis) for axis, name in zip(axes, names, strict=True))
        if max_batch_size > 0 and (not shape or shape[0] != -1):
            raise InvalidFake(
                f"{model!r}: {key!r} is declared {spec!r}, and the model takes batches: the first "
                "axis is the batch and must be -1"
            )
        name = key.removesuffix("?")
        infos.append(TensorInfo(name, match["datatype"], shape, key != name, names * any(names)))
    return tuple(infos)


def answer_tensors(
    model: str, outputs: Sequence[TensorInfo], answer: Any, batch: int | None
) -> list[Tensor]:
    """What a fake model returned, as tensors.

    Args:
        model: its name.
        outputs: as declared; those with a question mark may be missing.
        answer: name -> array, or what numpy makes one of.
        batch: how many items each output must have; None where it is open.

    Raises:
        InvalidFake: it does not fit.
    """
    if not isinstance(answer, Mapping):
        raise InvalidFake(
            f"{model!r} answered with {type(answer).__name__}; it must be a mapping, name -> array"
        )
    known = {info.name: info for info in outputs}
    unknown = [name for name in answer if name not in known]
    missing = [name for name, info in known.items() if not info.optional and name not in answer]
    if unknown or missing:
        problem = f"unknown: {unknown}" if unknown else f"missing: {missing}"
        raise InvalidFake(
            f"{model!r} answered with other outputs than it declares, "
            f"{', '.join(map(str, outputs))} ({problem})"
        )
    return [
        Tensor(name, known[name].datatype, _output(model, known[name], value, batch))
        for name, value in answer.items()
    ]


def _output(model: str, info: TensorInfo, value: Any, batch: int | None) -> npt.NDArray[Any]:
    problem = f"{model!r} answered with {info.name!r}, declared {info}, "
    if info.datatype == "BYTES":
        array = _strings(problem, value)
    elif hasattr(value, "dtype"):
        array = np.asarray(value)
        if array.dtype != info.dtype:
            raise InvalidFake(f"{problem}as {array.dtype}; it must be {info.dtype}")
    else:
        try:
            array = np.asarray(value, info.dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidFake(f"{problem}but {error}") from error
    fits = len(array.shape) == len(info.shape) and all(
        wanted in (-1, size) for wanted, size in zip(info.shape, array.shape, strict=True)
    )
    if not fits:
        raise InvalidFake(f"{problem}in the shape {list(array.shape)}")
    if batch is not None and array.shape[0] != batch:
        raise InvalidFake(f"{problem}for {array.shape[0]} items; it was asked for {batch}")
    return array


def _strings(problem: str, value: Any) -> npt.NDArray[Any]:
    array = np.array(value, dtype=object)
    words = [word.encode() if isinstance(word, str) else word for word in array.flat]
    for word in words:
        if not isinstance(word, bytes):
            raise InvalidFake(f"{problem}but {word!r:.40} is no text and no bytes")
    encoded = np.empty(array.size, dtype=object)
    encoded[:] = words
    return encoded.reshape(array.shape)
