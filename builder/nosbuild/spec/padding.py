"""``pad``: with what requests and answers of unequal shape are filled up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nosbuild.spec.declared_tensors import integer_limits
from nosbuild.spec.problems import Finding
from nosbuild.spec.yaml_source import type_name
from nosbuild.tensors import BATCH, DType, TensorSpec

PadValue = bool | int | float | str


def parse_pad(
    value: object,
    inputs: Mapping[str, TensorSpec] | None,
    outputs: Mapping[str, TensorSpec] | None,
) -> dict[str, PadValue] | list[Finding]:
    """Read ``pad``: input or output -> the value to fill up with, or say all that is wrong with it.

    Args:
        value: what stands there.
        inputs: those that the spec declares, whose dtype the value must have.
        outputs: likewise.
    """
    if not isinstance(value, dict):
        remedy = "write a value for each tensor to fill up, e.g. pad: {input_ids: 0}"
        return [Finding(("pad",), f"is {type_name(value)}, not a mapping", remedy)]
    findings: list[Finding] = []
    for name, filler in value.items():
        if not isinstance(filler, (bool, int, float, str)):
            found = f"is {type_name(filler)}, not a value to fill up with"
            findings.append(Finding(("pad", name), found, "write one number or string"))
            continue
        declared = [(of or {}).get(name) for of in (inputs, outputs)]
        findings += pad_findings(name, filler, [one for one in declared if one is not None])
    return findings or value


def pad_findings(name: str, filler: PadValue, tensors: Iterable[TensorSpec]) -> Iterator[Finding]:
    """What is wrong with one value.

    Args:
        name: of the tensors.
        filler: the value.
        tensors: every input and output of that name that is known; those of one shape need none.
    """
    known = list(tensors)
    growing = [tensor for tensor in known if set(tensor.axes.values()) - {BATCH}]
    if known and not growing:
        found = f"{known[0].declaration} has one shape, so there is nothing to fill up"
        yield Finding(("pad", name), found, "remove it, or name an axis that varies")
    for tensor in growing:
        if unfit := next(_unfit(tensor, filler), None):
            yield unfit
            return


def padded_outputs(
    pad: Mapping[str, PadValue], outputs: Iterable[TensorSpec]
) -> dict[str, PadValue]:
    """Output -> value, for those whose rows may be filled up in a batch."""
    return {
        tensor.name: pad[tensor.name]
        for tensor in outputs
        if tensor.name in pad and tensor.is_batched and len(tensor.axes) > 1
    }


def _unfit(tensor: TensorSpec, filler: PadValue) -> Iterator[Finding]:
    key = ("pad", tensor.name)
    if not _is_of(tensor.dtype, filler):
        fits = {"string": '""', "bool": "false"}.get(tensor.dtype.name, "0")
        found = f"{filler!r} is {type_name(filler)}, but {tensor.name} is {tensor.dtype.name}"
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
    "description": "Of a python model: input or output -> what to fill up unequal shapes with.",
    "additionalProperties": {"type": ["boolean", "number", "string"]},
}
"""JSON Schema of ``pad``."""
