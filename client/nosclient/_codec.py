"""What a caller passes in, tensors that fit the model out; and the server's tensors as numpy.

A typed value (a numpy array or scalar, anything with ``__array__``) keeps its dtype and may only
be widened; a plain Python value (number, string, list of them) takes the model's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._call import Call, Tensor
from nosclient._errors import InvalidInput
from nosclient._model_info import Signature, TensorInfo

_FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})


def encode(
    signature: Signature, inputs: Mapping[str, Any], *, in_sequence: bool = False
) -> list[Tensor]:
    """Check the inputs against the model's signature and bring each to its dtype.

    A request of a sequence is one item, which may come without the batch axis.

    Raises:
        InvalidInput: unknown or missing names, a dtype that would lose something, a wrong rank or
            size, a batch that is too large; the message shows the signature.
    """
    if not isinstance(inputs, Mapping):
        names = [row.name for row in signature.inputs if not row.optional] or ["name"]
        shown = ", ".join(f"{name!r}: ..." for name in names)
        found = type(inputs).__name__
        raise _refused(signature, f"inputs are of type {found}; pass a mapping, {{{shown}}}")
    known = signature.inputs_by_name
    unknown = [name for name in inputs if name not in known]
    missing = [name for name in known if name in signature.required and name not in inputs]
    if unknown or missing:
        problems = [f"no input is named {name!r}" for name in unknown]
        problems += [f"input {name!r} is missing" for name in missing]
        raise _refused(signature, "; ".join(problems))
    tensors = []
    batched = signature.max_batch_size > 0
    for name, value in inputs.items():
        info = known[name]
        try:
            array = _array(info, value)
            if batched and array.ndim == 1 and info.shape == (-1, 1):
                # Triton has no tensors without axes: one word an item stands as [batch, 1].
                array = array[:, np.newaxis]
            elif batched and in_sequence and array.ndim + 1 == len(info.shape):
                array = array[np.newaxis]
            _check_shape(info, array.shape, batched)
        except _Unfit as unfit:
            raise _refused(signature, f"input {name!r} {unfit}") from None
        tensors.append(Tensor(name, info.datatype, array))
    if batched:
        _check_batch(signature, tensors, in_sequence)
    return tensors


def check_outputs(signature: Signature, outputs: Sequence[str]) -> None:
    """Refuse names that are no outputs of the model.

    Raises:
        InvalidInput: an unknown name, or none at all.
    """
    known = [tensor.name for tensor in signature.outputs]
    unknown = [name for name in outputs if name not in known]
    if unknown or not outputs:
        found = f"has no output {unknown[0]!r}" if unknown else "was asked for no output at all"
        raise InvalidInput(
            f"model {signature.name!r} {found}; its outputs are {', '.join(known)} "
            "(leave outputs away to get all of them)"
        )


def call_arguments(call: Call, protocol: Any) -> dict[str, Any]:
    """The keyword arguments of tritonclient's method of that name.

    Args:
        call: what to do.
        protocol: ``tritonclient.grpc`` or ``tritonclient.http``: whose tensor classes to use.
    """
    if not call.model:
        return {}
    arguments: dict[str, Any] = {"model_name": call.model}
    if call.method not in ("load_model", "unload_model"):
        arguments["model_version"] = call.version
    if call.method == "infer":
        arguments["inputs"] = [_infer_input(protocol, tensor) for tensor in call.tensors]
        if call.outputs is not None:
            arguments["outputs"] = [protocol.InferRequestedOutput(name) for name in call.outputs]
        arguments["priority"] = call.priority
        arguments["parameters"] = dict(call.parameters) or None
        if call.timeout and call.sequence is None:
            # Triton drops a request that waits longer than this in a queue whose policy allows it
            # (allow_timeout_override); elsewhere it is no more than told to the model.
            arguments["timeout"] = max(1, int(call.timeout * 1e6))
        if call.sequence is not None:
            arguments["sequence_id"] = call.sequence.id
            arguments["sequence_start"] = call.sequence.start
            arguments["sequence_end"] = call.sequence.end
    return arguments


def read_outputs(result: Any) -> dict[str, npt.NDArray[Any]]:
    """Name -> array of every output in tritonclient's ``InferResult``.

    Arrays are views of the response where the protocol allows it, hence possibly read-only.
    """
    response = result.get_response()
    if isinstance(response, Mapping):
        names = [output["name"] for output in response.get("outputs", [])]
    else:
        names = [output.name for output in response.outputs]
    return {name: result.as_numpy(name) for name in names}


def _infer_input(protocol: Any, tensor: Tensor) -> Any:
    built = protocol.InferInput(tensor.name, list(tensor.array.shape), tensor.datatype)
    built.set_data_from_numpy(tensor.array)
    return built


class _Unfit(Exception):
    """Why one value does not fit one input; wrapped with the input's name and the signature."""


def _refused(signature: Signature, problem: str) -> InvalidInput:
    batch = f", batch up to {signature.max_batch_size}" if signature.max_batch_size > 0 else ""
    return InvalidInput(f"{problem}; expected {signature}{batch}")


def _array(info: TensorInfo, value: Any) -> npt.NDArray[Any]:
    if not hasattr(value, "__array__"):
        array = _strings(value) if info.datatype == "BYTES" else _from_plain(info, value)
    elif info.datatype == "BYTES":
        array = _strings(np.asarray(value))
    else:
        array = _from_typed(info, np.asarray(value))
    # A bare number or word for a tensor of one element is meant as that element.
    if array.ndim == 0 and info.shape and all(size in (1, -1) for size in info.shape):
        return array.reshape((1,) * len(info.shape))
    return array


def _from_typed(info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    target = info.dtype
    if array.dtype == target:
        return array
    # numpy calls (u)int64 -> float64 safe, though integers above 2**53 do not survive it.
    exact = not (array.dtype.kind in "iu" and array.dtype.itemsize == 8 and target.kind == "f")
    if exact and np.can_cast(array.dtype, target, "safe"):
        return array.astype(target)
    raise _Unfit(
        f"is {array.dtype}, the model takes {info.datatype}, and the cast can lose something: "
        f"pass .astype({_spelled(target)}) if that is meant"
    )


def _spelled(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "bool"
    return f"np.{dtype.name}" if dtype.kind in "iuf" else f"ml_dtypes.{dtype.name}"


def _from_plain(info: TensorInfo, value: Any) -> npt.NDArray[Any]:
    try:
        raw = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        if "inhomogeneous" in str(error):
            raise _Unfit("is ragged: lists side by side in it differ in length") from error
        raise _Unfit(f"is no array of numbers: {error}") from error
    target = info.dtype
    if raw.size == 0:
        return raw.astype(target)
    if info.datatype in _FLOATS:
        taken, wanted = "biuf", "numbers"
    elif info.datatype == "BOOL":
        taken, wanted = "b", "True and False"
    else:
        taken, wanted = "biu", "whole numbers"
    if target.kind in "iu" and raw.dtype.kind in "fO" and _all_whole(value):
        # numpy makes floats of integers that fit no one type, such as [0, 2**64 - 1].
        raw = np.array(value, dtype=object)
    elif raw.dtype.kind not in taken:
        raise _Unfit(f"holds {_described(raw)}; {info.datatype} takes {wanted}")
    if info.datatype in _FLOATS:
        return _as_floats(info, raw, target)
    if target.kind in "iu" and raw.dtype.kind != "b":
        limits = np.iinfo(target)
        lowest, highest = int(raw.min()), int(raw.max())
        if lowest < limits.min or highest > limits.max:
            worst = lowest if lowest < limits.min else highest
            raise _Unfit(f"holds {worst}; {info.datatype} takes {limits.min} to {limits.max}")
    return raw.astype(target)


def _all_whole(value: Any) -> bool:
    items = np.array(value, dtype=object).flat
    return all(isinstance(item, int | np.integer) for item in items)


def _as_floats(info: TensorInfo, raw: npt.NDArray[Any], target: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        array = raw.astype(target)
    overflown = np.isinf(array) & np.isfinite(raw)
    if overflown.any():
        raise _Unfit(f"holds {raw[overflown].flat[0]}, too large for {info.datatype}")
    return array


def _described(raw: npt.NDArray[Any]) -> str:
    kinds = {"f": "fractional numbers", "U": "strings", "S": "bytes", "c": "complex numbers"}
    if raw.dtype.kind == "b":
        return "booleans"
    return kinds.get(raw.dtype.kind, f"{type(raw.flat[0]).__name__} objects")


def _strings(value: Any) -> npt.NDArray[Any]:
    # dtype=object from the start: numpy's own "S" strings lose trailing zero bytes.
    try:
        raw = np.array(value, dtype=object)
    except ValueError as error:
        raise _Unfit(f"is no array of strings: {error}") from error
    array = np.empty(raw.shape, dtype=object)
    flat = array.reshape(-1)
    for position, item in enumerate(raw.flat):
        if isinstance(item, str):
            flat[position] = item.encode()
        elif isinstance(item, bytes):
            flat[position] = bytes(item)
        else:
            raise _Unfit(f"{_found(value, item)}; BYTES takes str and bytes{_FILE}")
    return array


_FILE = ", such as those of a whole file: Path(...).read_bytes()"


def _found(value: Any, item: Any) -> str:
    """What the caller passed: numpy takes an image apart into the numbers of its pixels."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    if hasattr(value, "__array_interface__") and not isinstance(value, np.generic | np.ndarray):
        return f"holds an object of type {type(value).__name__}"
    return f"holds {type(item).__name__} {item!r:.40}"


def _check_shape(info: TensorInfo, shape: tuple[int, ...], is_batched: bool) -> None:
    if len(shape) != len(info.shape):
        axes = "1 axis" if len(shape) == 1 else f"{len(shape)} axes"
        remedy = ", add the batch axis" if is_batched and len(shape) + 1 == len(info.shape) else ""
        raise _Unfit(f"has shape {list(shape)}: {axes} instead of {len(info.shape)}{remedy}")
    for axis, (size, wanted) in enumerate(zip(shape, info.shape, strict=True)):
        if wanted >= 0 and size != wanted:
            raise _Unfit(f"has shape {list(shape)}: axis {axis} must be {wanted}")


def _check_batch(signature: Signature, tensors: Sequence[Tensor], in_sequence: bool) -> None:
    sizes = {tensor.name: tensor.array.shape[0] for tensor in tensors}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise _refused(signature, f"the inputs differ in batch size: {shown}")
    for name, size in sizes.items():
        if in_sequence and size > 1:
            raise _refused(
                signature,
                f"input {name!r} has a batch of {size}: a request of a sequence is one item; send "
                "them one after the other, or each in a sequence of its own",
            )
        if size > signature.max_batch_size:
            raise _refused(
                signature, f"input {name!r} has a batch of {size}: send it in smaller pieces"
            )
        if size == 0:
            raise _refused(signature, f"input {name!r} has a batch of 0: the server takes none")
