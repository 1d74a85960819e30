"""Whether the named axes of the tensors and the ``dims`` section fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nosbuild.spec.dims import DEFAULT_BATCH, PATTERN, BadRange, DimRange
from nosbuild.spec.problems import Finding, did_you_mean
from nosbuild.spec.yaml_source import KeyPath, dotted, type_name
from nosbuild.tensors import BATCH, TensorSpec

Tensors = dict[str, TensorSpec]


def parse_dims(value: object) -> dict[str, DimRange] | list[Finding]:
    """Read the ``dims`` section, or say everything that is wrong with it."""
    if not isinstance(value, dict):
        remedy = "write one range for each axis, e.g. dims: {batch: 1..8..32}"
        return [Finding(("dims",), f"is {type_name(value)}, not a mapping", remedy)]
    ranges: dict[str, DimRange] = {}
    findings: list[Finding] = []
    for name, written in value.items():
        try:
            ranges[name] = DimRange.parse(written)
        except BadRange as error:
            findings.append(Finding(("dims", name), error.found, error.remedy))
    return findings or ranges


def with_batch(dims: dict[str, DimRange], *sections: Tensors | None) -> dict[str, DimRange]:
    """The ranges, with the default for the batch axis where it is used but not given."""
    tensors = [tensor for section in sections if section for tensor in section.values()]
    if BATCH in dims or not any(BATCH in tensor.shape for tensor in tensors):
        return dims
    return {BATCH: DEFAULT_BATCH, **dims}


def used_dims(dims: dict[str, DimRange], *sections: Tensors) -> dict[str, DimRange]:
    """The ranges of the axes that the tensors have."""
    used = _axes([tensor for section in sections for tensor in section.values()])
    return {axis: sizes for axis, sizes in dims.items() if axis in used}


def axis_findings(
    inputs: Tensors | None,
    outputs: Tensors | None,
    dims: dict[str, DimRange],
    *,
    ranged: bool = True,
    of_one_model: bool = True,
) -> list[Finding]:
    """Everything that is wrong with the axes; tensors not known yet (None) are not judged.

    Args:
        inputs: by name.
        outputs: by name.
        dims: the ranges.
        ranged: whether an axis of an input needs a range.
        of_one_model: whether these are the tensors of one model; otherwise they are not compared.
    """
    return [
        *_misplaced_batch(inputs or {}, outputs or {}),
        *(_lacking_batch(inputs or {}, outputs or {}) if of_one_model else ()),
        *(_without_range(inputs or {}, dims) if ranged else ()),
        *(_unused(inputs, outputs, dims) if of_one_model else ()),
    ]


def _placed(inputs: Tensors, outputs: Tensors) -> list[tuple[KeyPath, TensorSpec]]:
    return [
        *((("inputs", name), tensor) for name, tensor in inputs.items()),
        *((("outputs", name), tensor) for name, tensor in outputs.items()),
    ]


def _misplaced_batch(inputs: Tensors, outputs: Tensors) -> Iterator[Finding]:
    for key, tensor in _placed(inputs, outputs):
        if BATCH in tensor.shape[1:]:
            others = [str(dim) for dim in tensor.shape if dim != BATCH]
            right = f"{tensor.dtype.name}[{', '.join([BATCH, *others])}]"
            found = f"{tensor.declaration}: batch must be the first axis, once"
            yield Finding(key, found, f"write {right}, or name that axis otherwise")


def _lacking_batch(inputs: Tensors, outputs: Tensors) -> Iterator[Finding]:
    placed = _placed(inputs, outputs)
    batched = [dotted(key) for key, tensor in placed if BATCH in tensor.shape]
    for key, tensor in placed if batched else ():
        if BATCH not in tensor.shape:
            found = f"{tensor.declaration} has no batch axis, but {batched[0]} has one"
            remedy = "declare every input and output with batch first, or none of them"
            yield Finding(key, found, remedy)


def _without_range(inputs: Tensors, dims: dict[str, DimRange]) -> Iterator[Finding]:
    users: dict[str, str] = {}
    for tensor in inputs.values():
        for axis in tensor.axes.values():
            if axis != BATCH and axis not in dims:
                users.setdefault(axis, tensor.name)
    for axis, user in users.items():
        found = f"the axis {axis!r} of inputs.{user} has no range"
        remedy = f"add it: dims: {{{axis}: 1..32..256}} (min..typical..max)"
        yield Finding(("dims", axis), found, remedy, line_of=("inputs", user))


def _unused(
    inputs: Tensors | None, outputs: Tensors | None, dims: dict[str, DimRange]
) -> Iterator[Finding]:
    if inputs is None or outputs is None:
        return
    used = _axes([*inputs.values(), *outputs.values()])
    for axis in dims:
        if axis not in used:
            lacking = [name for name in used if name not in dims]
            remedy = did_you_mean(axis, lacking, "remove it, or use the axis in a tensor")
            yield Finding(("dims", axis), f"no tensor has an axis {axis!r}", remedy)


def _axes(tensors: Sequence[TensorSpec]) -> list[str]:
    return list(dict.fromkeys(axis for tensor in tensors for axis in tensor.axes.values()))


DIMS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Sizes of the named axes: min..typical..max, optionally `step N`.",
    "additionalProperties": {
        "oneOf": [
            {
                "type": "string",
                "pattern": PATTERN,
                "examples": ["1..8..64", "32..320..960 step 32"],
            },
            {"type": "integer", "minimum": 1},
        ]
    },
}
