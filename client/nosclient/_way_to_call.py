"""A signature, and inputs, go in; tensors come out, or by which method the model is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nosclient._call import Tensor
from nosclient._codec import check_outputs, encode, encode_either
from nosclient._errors import InvalidInput
from nosclient._model_info import Signature


def to_be_streamed(name: str) -> InvalidInput:
    """For a decoupled model that was called with ``run``."""
    return InvalidInput(
        f"model {name!r} streams its answers (it is decoupled): call it with "
        f"stream({name!r}, inputs) over gRPC"
    )


def to_be_in_sequence(name: str) -> InvalidInput:
    """For a model that keeps a state and was called outside of any sequence."""
    return InvalidInput(
        f"model {name!r} keeps a state from one request to the next: call it in a sequence, "
        f"with client.sequence({name!r}) as sequence: sequence.run(inputs)"
    )


def check_options(priority: int, parameters: Mapping[str, str | int | float | bool] | None) -> None:
    """Refuse what the protocols cannot carry.

    Raises:
        InvalidInput: a priority or a whole number that is out of range, a value of another type,
            no mapping.
    """
    if not isinstance(priority, int) or not 0 <= priority < 2**64:
        raise InvalidInput(
            f"priority={priority!r}; write a whole number, 0 for the model's default"
        )
    if parameters and not isinstance(parameters, Mapping):
        found = type(parameters).__name__
        raise InvalidInput(f"parameters are of type {found}; pass a mapping of name -> value")
    for name, value in (parameters or {}).items():
        if not isinstance(name, str):
            raise InvalidInput(f"{name!r:.60} is no parameter's name; write text")
        if not isinstance(value, str | bool | int | float):
            found = type(value).__name__
            raise InvalidInput(
                f"the parameter {name!r} is of type {found}, which is not supported; Triton takes "
                "str, bool, int and float"
            )
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InvalidInput(f"the parameter {name!r} is {value}; Triton takes 64 bits")


def checked(
    method: str,
    in_sequence: bool,
    signature: Signature,
    inputs: Mapping[str, Any],
    outputs: Sequence[str] | None,
    *,
    strict: bool,
    either: bool,
) -> tuple[list[Tensor], bool]:
    """Tensors that fit the signature.

    Args:
        method: ``infer`` or ``stream_infer``.
        in_sequence: for a request of a sequence.
        signature: the model's.
        inputs: the caller's.
        outputs: names of those asked for; None for all.
        strict: refuse casts that lose something.
        either: take one item without the batch axis as well as a batch.

    Returns:
        The tensors, and whether the batch axis was added to one item's.

    Raises:
        InvalidInput: they do not, or the model is called another way.
    """
    if method == "infer" and signature.decoupled:
        raise to_be_streamed(signature.name)
    if signature.sequence_batching and not in_sequence:
        raise to_be_in_sequence(signature.name)
    if in_sequence and not (signature.sequence_batching or signature.platform == "ensemble"):
        raise InvalidInput(
            f"model {signature.name!r} keeps no state from one request to the next: call it with "
            f"run({signature.name!r}, inputs)"
        )
    if outputs is not None:
        check_outputs(signature, outputs)
    if either:
        return encode_either(signature, inputs, strict=strict)
    return encode(signature, inputs, in_sequence=in_sequence, strict=strict), False
