"""``state`` and ``sequence``: how requests of one sequence meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from nosbuild.spec.problems import Finding, did_you_mean, one_of, rejected
from nosbuild.spec.serving import Positive, Section
from nosbuild.tensors import BATCH, TensorSpec

Tensors = dict[str, TensorSpec]


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
