"""The ``objective`` key -> Objective: which of the proven variants is best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from nosbuild.spec.problems import Finding, did_you_mean
from nosbuild.spec.yaml_source import type_name

_KINDS = ("throughput", "latency")
_REMEDY = "write throughput, latency, or {throughput: {p99_ms: 20}}"


@dataclass(frozen=True)
class Objective:
    """What a build optimises for."""

    kind: Literal["throughput", "latency"] = "throughput"
    p99_ms: float | None = None
    """Throughput counts only while the 99th percentile of latency stays below this."""

    def dump(self) -> str | dict[str, Any]:
        """The key as a spec writes it."""
        return self.kind if self.p99_ms is None else {self.kind: {"p99_ms": self.p99_ms}}


def parse_objective(value: object) -> Objective | list[Finding]:
    """Read the key, or say everything that is wrong with it."""
    key = ("objective",)
    if isinstance(value, str):
        if value == "throughput":
            return Objective("throughput")
        if value == "latency":
            return Objective("latency")
        return [Finding(key, f"unknown objective {value!r}", did_you_mean(value, _KINDS, _REMEDY))]
    if not isinstance(value, dict) or len(value) != 1:
        return [Finding(key, f"is {type_name(value)} that says no single objective", _REMEDY)]
    [(kind, limits)] = value.items()
    if kind != "throughput":
        return [Finding((*key, kind), f"{kind!r} takes no limits", _REMEDY)]
    if not isinstance(limits, dict) or set(limits) != {"p99_ms"}:
        return [Finding((*key, kind), "has no single limit p99_ms", _REMEDY)]
    limit = limits["p99_ms"]
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < math.inf:
        found = f"{limit} is no time in milliseconds"
        return [Finding((*key, kind, "p99_ms"), found, "write a number above 0")]
    return Objective("throughput", float(limit))


SCHEMA: dict[str, Any] = {
    "description": "What to optimise for among the proven variants.",
    "oneOf": [
        {"enum": list(_KINDS)},
        {
            "type": "object",
            "properties": {
                "throughput": {
                    "type": "object",
                    "properties": {"p99_ms": {"type": "number", "exclusiveMinimum": 0}},
                    "required": ["p99_ms"],
                    "additionalProperties": False,
                }
            },
            "required": ["throughput"],
            "additionalProperties": False,
        },
    ],
}
"""JSON Schema of the key."""
