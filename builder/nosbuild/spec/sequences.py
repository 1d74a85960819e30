"""``pad``, ``state`` and ``sequence``: how requests of unequal shape, or of one sequence, meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import model_validator

from nosbuild.spec.declared_tensors import integer_limits
from nosbuild.spec.problems import Finding, did_you_mean, one_of, rejected
from nosbuild.spec.serving import Positive, Section
from nosbuild.spec.yaml_source import type_name
from nosbuild.tensors import BATCH, DType, TensorSpec

Tensors = dict[str, TensorSpec]
PadValue = bool | int | float | str


class Sequence(Section):
    """Triton's ``ModelSequenceBatching``: requests of one sequence meet the same instance."""

    strategy: Literal["oldest", "direct"] = "oldest"
    """``oldest`` joins requests of several sequences; ``direct`` keeps a place in the batch for
    each sequence.
    """
    max_sequences: Positive = 64
    """Of ``oldest``: sequences in work at a time; others wait for one to end."""
    idle_timeout_us: Positive = 1_000_000
    """A sequence without a request for so long is ended."""

    @model_validator(mode="after")
    def _places(self) -> Sequence:
        default = type(self).model_fields["max_sequences"].default
        if self.strategy == "direct" and self.max_sequences != default:
            found = "does not go with strategy: direct, which has a place for each item of a batch"
            remedy = "remove it; dims.batch sets the places"
            raise rejected([Finding(("sequence", "max_sequences"), found, remedy)])
        return self


def state_findings(
    state: dict[str, str], inputs: Tensors | None, outputs: Tensors | None
) -> Iterator[Finding]:
    """What is wrong with the states; tensors not known yet (None) are not judged."""
    for name, result in state.items():
        key = ("state", name)
        earlier = next(other for other, given in state.items() if given == result)
        if earlier != name:
            found = f"{result!r} comes back as {earlier!r} already"
            yield Finding(key, found, "write an output of its own for each state")
        if inputs is not None and name not in inputs:
            remedy = did_you_mean(name, inputs, one_of(inputs))
            yield Finding(key, f"there is no input {name!r}", remedy)
        if outputs is not None and result not in outputs:
            remedy = did_you_mean(result, outputs, one_of(outputs))
            yield Finding(key, f"there is no output {result!r}", remedy)
        elif inputs and outputs and name in inputs:
            yield from _unlike(inputs[name], outputs[result])
    if state and inputs is not None and not set(inputs) - set(state):
        remedy = "leave out the inputs that each request brings"
        yield Finding(("state",), "every input is a state; a request would bring nothing", remedy)
    if state and outputs is not None and not set(outputs) - set(state.values()):
        remedy = "leave out the outputs that each request is answered with"
        yield Finding(("state",), "every output is a state; a request would get nothing", remedy)


def _unlike(taken: TensorSpec, given: TensorSpec) -> Iterator[Finding]:
    """A state may grow: an axis that varies may have another name as it comes out."""
    pairs = list(zip(taken.shape, given.shape, strict=False))
    fits = taken.dtype == given.dtype and len(taken.shape) == len(given.shape)
    if not fits or any(a != b and (BATCH in (a, b) or isinstance(a, int)) for a, b in pairs):
        found = (
            f"inputs.{taken.name} is {taken.declaration}, "
            f"but outputs.{given.name} is {given.declaration}"
        )
        remedy = "declare both alike, but for the names of axes: a state goes in as it came out"
        yield Finding(("state", taken.name), found, remedy)


def parse_pad(value: object, inputs: Tensors | None) -> dict[str, PadValue] | list[Finding]:
    """Read ``pad``: input -> the value to fill up with, or say everything that is wrong with it.

    Args:
        value: what stands there.
        inputs: those that the spec declares, whose dtype the value must have.
    """
    if not isinstance(value, dict):
        remedy = "write a value for each input to fill up, e.g. pad: {input_ids: 0}"
        return [Finding(("pad",), f"is {type_name(value)}, not a mapping", remedy)]
    findings: list[Finding] = []
    for name, filler in value.items():
        key = ("pad", name)
        if not isinstance(filler, (bool, int, float, str)):
            found = f"is {type_name(filler)}, not a value to fill up with"
            findings.append(Finding(key, found, "write one number or string"))
        elif tensor := (inputs or {}).get(name):
            findings += _unfit_pad(tensor, filler)
    return findings or value


def _unfit_pad(tensor: TensorSpec, filler: PadValue) -> Iterator[Finding]:
    key = ("pad", tensor.name)
    if not set(tensor.axes.values()) - {BATCH}:
        found = f"{tensor.declaration} has one shape, so there is nothing to fill up"
        yield Finding(key, found, "remove it, or name an axis that varies")
    elif not _is_of(tensor.dtype, filler):
        fits = {"string": '""', "bool": "false"}.get(tensor.dtype.name, "0")
        found = f"{filler!r} is {type_name(filler)}, but the input is {tensor.dtype.name}"
        yield Finding(key, found, f"write e.g. {tensor.name}: {fits}")
    elif tensor.dtype.is_integer and isinstance(filler, int):
        lowest, highest = integer_limits(tensor.dtype)
        if not lowest <= filler <= highest:
            remedy = f"write a number from {lowest} to {highest}"
            yield Finding(key, f"{filler} does not fit {tensor.dtype.name}", remedy)


def _is_of(dtype: DType, filler: PadValue) -> bool:
    if dtype.name == "string":
        return isinstance(filler, str)
    if dtype.name == "bool":
        return isinstance(filler, bool)
    if isinstance(filler, (bool, str)):
        return False
    return dtype.is_float or isinstance(filler, int)


PAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Of a python model: input -> what to fill up with to join unequal requests.",
    "additionalProperties": {"type": ["boolean", "number", "string"]},
}
"""JSON Schema of ``pad``."""
