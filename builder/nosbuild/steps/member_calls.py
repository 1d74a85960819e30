"""The models that a class may call go in; what answers such a call while it is built comes out.

As Triton would: whole tensors, the batch axis included, strings as text or bytes; what Triton
would refuse is refused with a like word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nosbuild.errors import RequestError
from nosbuild.source.texts import as_text
from nosbuild.tensors import dtype_from_numpy
from nosbuild.verify.pipeline_runner import carried, own

if TYPE_CHECKING:
    from nosbuild.repository.member import Member
    from nosbuild.source.loaded import Arrays
    from nosbuild.tensors import TensorSpec
    from nosbuild.verify.runner import Runner


class MemberCalls:
    """Runs what is published of each model; each is opened at its first call."""

    def __init__(self, members: Mapping[str, Member], opened: Callable[[Member], Runner]) -> None:
        self._members = members
        self._opened = opened
        self._runners: dict[str, Runner] = {}

    def __call__(self, name: str, inputs: Arrays) -> Arrays | list[Arrays]:
        """The outputs; of a model that streams, of every chunk.

        Raises:
            RequestError: Triton would refuse the request.
            NosError: the model cannot be run, or raises.
        """
        member = self._members.get(name)
        if member is None:
            raise RequestError(f"there is no model {name!r} under models: in the model.yaml")
        given = _checked(member, inputs)
        if name not in self._runners:
            self._runners[name] = self._opened(member)
        answer: Any = self._runners[name].run(given)
        if isinstance(answer, dict):
            return _carried(member, answer)
        return [_carried(member, chunk) for chunk in answer]

    def close(self) -> None:
        """Close what can be closed; again is harmless."""
        for runner in self._runners.values():
            if close := getattr(runner, "close", None):
                close()


def described_members(members: Mapping[str, Member]) -> dict[str, Any]:
    """What ``binding.json`` says of the models that a class calls."""
    return {
        name: {
            "inputs": {
                tensor.name: {"dtype": tensor.dtype.name, "shape": _carried_shape(tensor)}
                for tensor in member.inputs
            },
            "decoupled": member.decoupled,
            # Through the adapter, which makes no more than is read; a pipeline is not.
            "legs": member.decoupled and member.backend == "python",
        }
        for name, member in members.items()
    }


def _carried_shape(tensor: TensorSpec) -> list[int]:
    shape = tensor.shape if tensor.item_shape else (*tensor.shape, 1)
    return [size if isinstance(size, int) else -1 for size in shape]


def _checked(member: Member, inputs: Arrays) -> Arrays:
    known = {tensor.name: tensor for tensor in member.inputs}
    if unknown := sorted(set(inputs) - set(known)):
        raise RequestError(f"it has no input {unknown[0]!r}, only {', '.join(known)}")
    if missing := sorted(set(known) - set(inputs) - member.optional):
        raise RequestError(f"the input {missing[0]!r} is missing")
    return {name: _fitting(member, known[name], array) for name, array in inputs.items()}


def _fitting(member: Member, tensor: TensorSpec, array: Any) -> Any:
    wanted = _carried_shape(tensor)
    dtype = dtype_from_numpy(array.dtype)
    if dtype != tensor.dtype:
        raise RequestError(f"{tensor.name} is {dtype.name}, it takes {tensor.dtype.name}")
    fits = len(array.shape) == len(wanted) and all(
        size in (-1, given) for size, given in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        shown = f"[{', '.join(map(str, tensor.shape))}]"
        raise RequestError(
            f"{tensor.name} has shape {list(array.shape)}, it takes {shown}"
            + " (as [n, 1])" * (len(tensor.shape) == 1 and not tensor.item_shape)
        )
    if member.batched and array.shape[0] > member.max_batch_size:
        raise RequestError(
            f"a batch of {array.shape[0]} is more than it takes, which is {member.max_batch_size}"
        )
    return own(tensor, as_text(array))


def _carried(member: Member, answer: Arrays) -> Arrays:
    return {tensor.name: carried(tensor, answer[tensor.name]) for tensor in member.outputs}
