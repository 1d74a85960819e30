"""The ``inputs`` and ``outputs`` sections -> TensorSpecs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.sources import Source
from nosbuild.spec.yaml_source import type_name
from nosbuild.tensors import DTYPES, DType, TensorSpec

_EXAMPLE = "float32[batch, 3, 224, 224]"

# What other libraries and languages call a dtype.
_SYNONYMS = {
    "int": "int32 or int64",
    "long": "int64",
    "short": "int16",
    "byte": "uint8",
    "float": "float32 or float64",
    "half": "float16",
    "double": "float64",
    "boolean": "bool",
    "str": "string",
    "bytes": "string",
    **{
        dtype.triton.lower(): name for name, dtype in DTYPES.items() if dtype.triton.lower() != name
    },
}


def parse_tensors(section: str, value: object) -> dict[str, TensorSpec] | list[Finding]:
    """Read a section, in the order it is written, or say everything that is wrong with it.

    Args:
        section: ``inputs`` or ``outputs``; only inputs may have a range.
        value: name -> ``dtype[dims]``, or for inputs ``{tensor: dtype[dims], range: [low, high]}``.
    """
    if not isinstance(value, dict) or not value:
        shown = "is empty" if not value else f"is {type_name(value)}, not a mapping"
        remedy = f"write `name: {_EXAMPLE}` entries, or remove the key"
        return [Finding((section,), shown, remedy)]
    tensors: dict[str, TensorSpec] = {}
    findings: list[Finding] = []
    for name, written in value.items():
        tensor = _parse(section, name, written)
        if isinstance(tensor, TensorSpec):
            tensors[name] = tensor
        else:
            findings += tensor
    return findings or tensors


def source_findings(
    section: str, tensors: dict[str, TensorSpec] | None, source: Source | None
) -> Iterator[Finding]:
    """What the source says against what is declared, or not declared."""
    if source is None:
        return
    if tensors is None and source.kind == "torch":
        remedy = f"add {section}: {{<name>: {_EXAMPLE}}}"
        yield Finding((section,), "is missing; a torch module does not tell its tensors", remedy)
    if tensors is not None and source.kind == "pipeline":
        for name in tensors:
            if name not in source.inputs:
                remedy = did_you_mean(name, source.inputs, one_of(source.inputs))
                found = f"no step takes {name!r} from outside the pipeline"
                yield Finding((section, name), found, remedy)
        for name in source.inputs:
            if name not in tensors:
                found = f"is missing; a step takes {name!r}, which no step makes"
                yield Finding((section, name), found, "add it, or correct the value's name there")


def dump_tensors(tensors: dict[str, TensorSpec] | None) -> dict[str, Any] | None:
    """The section as a spec writes it."""
    if tensors is None:
        return None
    return {
        name: tensor.declaration
        if tensor.range is None
        else {"tensor": tensor.declaration, "range": list(tensor.range)}
        for name, tensor in tensors.items()
    }


def _parse(section: str, name: str, written: object) -> TensorSpec | list[Finding]:
    key = (section, name)
    if isinstance(written, str):
        return _declaration(key, name, written)
    if section == "outputs" or not isinstance(written, dict):
        remedy = f'write "dtype[dims]", e.g. {name}: {_EXAMPLE}'
        return [Finding(key, f"is {type_name(written)}, not a tensor", remedy)]
    findings = [
        Finding((*key, option), "unknown key", did_you_mean(option, _KEYS, one_of(_KEYS)))
        for option in written
        if option not in _KEYS
    ]
    tensor = written.get("tensor")
    if not isinstance(tensor, str):
        return [*findings, Finding((*key, "tensor"), "is missing", f"add `tensor: {_EXAMPLE}`")]
    parsed = _declaration((*key, "tensor"), name, tensor)
    if not isinstance(parsed, TensorSpec):
        return [*findings, *parsed]
    if "range" in written:
        findings += _range_findings((*key, "range"), parsed.dtype, written["range"])
    if findings:
        return findings
    limits = written.get("range")
    return TensorSpec(name, parsed.dtype, parsed.shape, tuple(limits) if limits else None)


_KEYS = ("tensor", "range")


def _declaration(key: tuple[str, ...], name: str, text: str) -> TensorSpec | list[Finding]:
    word = re.match(r"\s*(\w+)\s*\[", text)
    if word and word[1] not in DTYPES:
        dtype = word[1]
        synonym = _SYNONYMS.get(dtype.lower().removeprefix("type_"))
        remedy = (
            f"did you mean {synonym}?" if synonym else did_you_mean(dtype, DTYPES, one_of(DTYPES))
        )
        return [Finding(key, f"unknown dtype {dtype!r}", remedy)]
    try:
        return TensorSpec.parse(name, text)
    except ValueError as error:
        found, _, remedy = str(error).partition("; ")
        return [Finding(key, found, remedy)]


def _range_findings(key: tuple[str, ...], dtype: DType, limits: object) -> Iterator[Finding]:
    example = "write [lowest, highest], e.g. [0, 1]"
    if not isinstance(limits, list) or len(limits) != 2:
        yield Finding(key, f"{limits} is no pair of numbers", example)
        return
    if not all(_is_number(limit) for limit in limits):
        yield Finding(key, f"{limits} is no pair of finite numbers", example)
        return
    low, high = limits
    if low > high:
        yield Finding(key, f"{low} is above {high}", f"write [{high}, {low}]")
    elif not (dtype.is_float or dtype.is_integer):
        yield Finding(key, f"a {dtype.name} tensor has no range", "remove it")
    elif dtype.is_integer:
        lowest, highest = integer_limits(dtype)
        if not (low >= lowest and high <= highest):
            remedy = f"stay between {lowest} and {highest}, or take another dtype"
            yield Finding(key, f"{limits} does not fit {dtype.name}", remedy)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool and math.isfinite(value)


def integer_limits(dtype: DType) -> tuple[int, int]:
    """The lowest and the highest value of an integer type."""
    bits = 8 * dtype.itemsize
    if dtype.name.startswith("u"):
        return 0, 2**bits - 1
    half = 2 ** (bits - 1)
    return -half, half - 1


_DECLARATION_SCHEMA = {
    "type": "string",
    "description": "dtype[dims]: a dim is a fixed size, or the name of an axis that varies.",
    "pattern": rf"^\s*({'|'.join(DTYPES)})\s*\[[^\]]*\]\s*$",
    "examples": ["int64[batch, seq]", _EXAMPLE],
}

OUTPUTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Output tensors by name; required for torch.",
    "minProperties": 1,
    "additionalProperties": _DECLARATION_SCHEMA,
}

INPUTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Input tensors by name, in the order of the model's arguments.",
    "minProperties": 1,
    "additionalProperties": {
        "oneOf": [
            _DECLARATION_SCHEMA,
            {
                "type": "object",
                "properties": {
                    "tensor": _DECLARATION_SCHEMA,
                    "range": {
                        "type": "array",
                        "description": "Lowest and highest value of random samples.",
                        "items": {"type": "number"},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                },
                "required": ["tensor"],
                "additionalProperties": False,
            },
        ]
    },
}
