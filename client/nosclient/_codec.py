"""What a caller passes in, tensors that fit the model out; and the server's tensors as numpy.

Names, shapes and the batch are checked here; what a value becomes is in ``_arrays.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._arrays import array_for
from nosclient._call import Tensor
from nosclient._casts import Unfit
from nosclient._errors import InvalidInput
from nosclient._model_info import Signature, TensorInfo
from nosclient._nearest_name import did_you_mean


def encode(
    signature: Signature,
    inputs: Mapping[str, Any],
    *,
    in_sequence: bool = False,
    strict: bool = True,
) -> list[Tensor]:
    """Check the inputs against the model's signature and bring each to its dtype.

    A request of a sequence is one item, which may come without the batch axis. Where not
    ``strict``, casts may lose something (``_casts.py``).

    Raises:
        InvalidInput: unknown or missing names, a dtype that would lose something, a wrong rank or
            size, a batch that is too large; the message shows the signature.
    """
    return _encoded(signature, inputs, in_sequence, strict, None)


def encode_either(
    signature: Signature, inputs: Mapping[str, Any], *, strict: bool = True
) -> tuple[list[Tensor], bool]:
    """The same for a batch, or one item whose inputs all come without the batch axis.

    Returns:
        The tensors, with the batch axis, and whether they are one item's.

    Raises:
        InvalidInput: as for ``encode``, or some inputs have the batch axis and others have not.
    """
    axes = _BatchAxis(signature) if signature.max_batch_size > 0 else None
    tensors = _encoded(signature, inputs, False, strict, axes)
    return tensors, axes is not None and axes.is_item


def _encoded(
    signature: Signature,
    inputs: Mapping[str, Any],
    in_sequence: bool,
    strict: bool,
    axes: _BatchAxis | None,
) -> list[Tensor]:
    known = signature.inputs_by_name
    if type(inputs) is not dict or inputs.keys() != signature.required:
        _check_names(signature, inputs)
    tensors = []
    batched = signature.max_batch_size > 0
    for name, value in inputs.items():
        info = known[name]
        try:
            array = array_for(info, value, strict)
            if axes is not None:
                array = axes.added(info, array)
            elif array.ndim != len(info.shape):
                array = _with_axes(info, array, batched, in_sequence)
            _check_shape(info, array.shape, batched and axes is None)
        except Unfit as unfit:
            raise _refused(signature, f"input {name!r} {unfit}") from None
        tensors.append(Tensor(name, info.datatype, array))
    if axes is not None:
        axes.check()
    if batched:
        _check_batch(signature, tensors, in_sequence)
    if signature.shared_axes:
        _check_shared_axes(signature, tensors)
    return tensors


class _BatchAxis:
    """Whether the inputs of one request have the batch axis: all of them, or none."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._with = ""
        """An input that has it, with its shape; empty while there is none."""
        self._without = ""

    def added(self, info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array with the batch axis."""
        axes, shape = len(info.shape), list(array.shape)
        if info.shape == (-1, 1) and array.ndim == 1:
            # One value an item, [batch, 1], comes as a list: a batch, however short. A single
            # value in a list may be an item's, too, if that is what the other inputs are.
            if array.size != 1:
                self._with = self._with or f"{info.name!r} {shape}"
            return array.reshape((*array.shape, 1))
        if array.ndim == axes:
            self._with = self._with or f"{info.name!r} {shape}"
            return array
        if array.ndim == 0 and info.shape and all(size in (1, -1) for size in info.shape):
            array = array.reshape((1,) * (axes - 1))
        if array.ndim + 1 == axes:
            self._without = self._without or f"{info.name!r} {shape}"
            return array.reshape((1, *array.shape))
        return array  # of another rank, which the check of its shape tells

    @property
    def is_item(self) -> bool:
        """Whether they came without it: they are one item's."""
        return bool(self._without)

    def check(self) -> None:
        """Refuse a mixture.

        Raises:
            InvalidInput: some have the axis and others have not.
        """
        if self._with and self._without:
            raise _refused(
                self._signature,
                f"input {self._with} has the batch axis and input {self._without} has not: pass "
                "all inputs with it, or all without it",
            )


def _with_axes(
    info: TensorInfo, array: npt.NDArray[Any], batched: bool, in_sequence: bool
) -> npt.NDArray[Any]:
    wanted = info.shape
    # A bare number or word for a tensor of one element is meant as that element.
    if array.ndim == 0 and all(size in (1, -1) for size in wanted):
        return array.reshape((1,) * len(wanted))
    if batched and array.ndim == 1 and wanted == (-1, 1):
        # Triton has no tensors without axes: one word an item stands as [batch, 1].
        return array.reshape((*array.shape, 1))
    if batched and in_sequence and array.ndim + 1 == len(wanted):
        return array[np.newaxis]
    return array  # which the check of its shape refuses


def _check_names(signature: Signature, inputs: Mapping[str, Any]) -> None:
    if not isinstance(inputs, Mapping):
        names = [row.name for row in signature.inputs if not row.optional] or ["name"]
        shown = ", ".join(f"{name!r}: ..." for name in names)
        found = type(inputs).__name__
        raise _refused(signature, f"inputs are of type {found}; pass a mapping, {{{shown}}}")
    known = signature.inputs_by_name
    unknown = [name for name in inputs if name not in known]
    missing = [name for name in known if name in signature.required and name not in inputs]
    if unknown or missing:
        problems = [
            f"no input is named {name!r}{did_you_mean(name, missing or known)}" for name in unknown
        ]
        problems += [f"input {name!r} is missing" for name in missing]
        raise _refused(signature, "; ".join(problems))


def check_outputs(signature: Signature, outputs: Sequence[str]) -> None:
    """Refuse names that are no outputs of the model.

    Raises:
        InvalidInput: an unknown name, or none at all.
    """
    known = [tensor.name for tensor in signature.outputs]
    unknown = [name for name in outputs if name not in known]
    if unknown or not outputs:
        hint = did_you_mean(unknown[0], known) if unknown else ""
        found = f"has no output {unknown[0]!r}" if unknown else "was asked for no output at all"
        raise InvalidInput(
            f"model {signature.name!r} {found}; its outputs are {', '.join(known)} "
            f"(leave outputs away to get all of them){hint}"
        )


def without_batch_axis(outputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """One item's outputs as the item has them: views without the first axis."""
    return {
        name: array.reshape(array.shape[1:]) if array.shape[:1] == (1,) else array
        for name, array in outputs.items()
    }


def _refused(signature: Signature, problem: str) -> InvalidInput:
    batch = f", batch up to {signature.max_batch_size}" if signature.max_batch_size > 0 else ""
    return InvalidInput(f"{problem}; expected {signature}{batch}")


def _check_shape(info: TensorInfo, shape: tuple[int, ...], is_batched: bool) -> None:
    if len(shape) != len(info.shape):
        axes = "1 axis" if len(shape) == 1 else f"{len(shape)} axes"
        remedy = ", add the batch axis" if is_batched and len(shape) + 1 == len(info.shape) else ""
        raise Unfit(f"has shape {list(shape)}: {axes} instead of {len(info.shape)}{remedy}")
    for axis, wanted in info.fixed:
        if shape[axis] != wanted:
            raise Unfit(f"has shape {list(shape)}: axis {axis} must be {wanted}")


def _check_shared_axes(signature: Signature, tensors: Sequence[Tensor]) -> None:
    shapes = {tensor.name: tensor.array.shape for tensor in tensors}
    for axis_name, places in signature.shared_axes:
        sizes = [(name, shapes[name][axis]) for name, axis in places if name in shapes]
        if len({size for _, size in sizes}) > 1:
            shown = ", ".join(f"{name} has {size}" for name, size in sizes)
            raise _refused(signature, f"the inputs differ in {axis_name}: {shown}")


def _check_batch(signature: Signature, tensors: Sequence[Tensor], in_sequence: bool) -> None:
    most = 1 if in_sequence else signature.max_batch_size
    first = tensors[0].array.shape[0] if tensors else 0
    for tensor in tensors:
        if tensor.array.shape[0] != first:
            break
    else:
        if 0 < first <= most:
            return
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
