"""The ``precision`` key: which variants to build and prove."""

from __future__ import annotations

from typing import Any, Literal, get_args

from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.yaml_source import type_name

Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Candidates = tuple[Precision, ...] | Literal["auto"]


def parse_precision(value: object) -> Candidates | list[Finding]:
    """Read ``auto``, one precision or a list, or say everything that is wrong with it."""
    key = ("precision",)
    if value == "auto":
        return "auto"
    wanted: list[Any] = value if isinstance(value, list) else [value]
    if isinstance(value, dict) or not wanted:
        shown = "is an empty list" if value == [] else f"is {type_name(value)}"
        return [Finding(key, shown, "write e.g. [fp32], or auto")]
    known: dict[str, Precision] = {name: name for name in PRECISIONS}
    findings = [
        Finding(
            (*key, position) if isinstance(value, list) else key,
            f"unknown precision {name!r}",
            f"{did_you_mean(str(name), PRECISIONS, '')} {one_of(PRECISIONS)}, or auto".lstrip(),
        )
        for position, name in enumerate(wanted)
        if not isinstance(name, str) or name not in known
    ]
    if not findings and len(set(wanted)) < len(wanted):
        findings = [Finding(key, "names a precision twice", "write each once")]
    return findings or tuple(known[name] for name in wanted)


SCHEMA: dict[str, Any] = {
    "description": "Candidates to build and prove; auto for all that the machine supports.",
    "oneOf": [
        {"enum": [*PRECISIONS, "auto"]},
        {
            "type": "array",
            "items": {"enum": list(PRECISIONS)},
            "minItems": 1,
            "uniqueItems": True,
        },
    ],
}
"""JSON Schema of the key."""
