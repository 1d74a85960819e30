"""Which keys go with which kind of source, and with each other -> what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nosbuild.spec.problems import Finding, listed
from nosbuild.spec.sources import SOURCE_KINDS, SourceKind

_EXPORTED: tuple[SourceKind, ...] = ("torch", "huggingface", "onnx", "sklearn")
_ONE_MODEL: tuple[SourceKind, ...] = (*_EXPORTED, "python")

TAKEN_BY: dict[str, tuple[SourceKind, ...]] = {
    "requirements": ("python",),
    "python": ("python",),
    "system_site": ("python",),
    "methods": ("python",),
    "models": ("python",),
    "pad": ("python",),
    "state": ("torch", "onnx"),
    "sequence": ("torch", "onnx", "python"),
    "precision": _EXPORTED,
    "objective": _EXPORTED,
    "batching": _ONE_MODEL,
    "instances": _ONE_MODEL,
    "max_execution_seconds": _ONE_MODEL,
    "optimization": _ONE_MODEL,
}
"""Key -> the kinds of source that it goes with; keys that are not here go with every kind."""


def misplaced(data: Mapping[str, Any], kind: SourceKind) -> Iterator[Finding]:
    """Keys that are written but mean nothing for that kind of source."""
    for key, kinds in TAKEN_BY.items():
        if key in data and kind not in kinds:
            yield Finding((key,), f"does not go with source: {{{kind}: ...}}", _remedy(key, kind))


def _remedy(key: str, kind: SourceKind) -> str:
    if kind == "pipeline":
        return "remove it; the models of the pipeline have their own"
    if key == "requirements":
        return "remove it; what a build needs goes into build_requirements"
    return f"remove it; it is for {listed(TAKEN_BY[key])}"


def contradictions(data: Mapping[str, Any], kind: SourceKind) -> Iterator[Finding]:
    """Keys that exclude each other."""
    if "sequence" in data and kind in TAKEN_BY["state"] and "state" not in data:
        remedy = "add state: {<input>: <output>}, or remove it"
        yield Finding(("sequence",), "there is no state to keep from request to request", remedy)
    keeper = next((key for key in ("state", "sequence") if data.get(key)), None)
    if keeper is None or kind not in TAKEN_BY[keeper]:
        return
    if data.get("batching", False) is not False:
        found = f"does not go with {keeper}: the sequence batcher joins requests itself"
        yield Finding(("batching",), found, "remove it")
    if data.get("response_cache") is True:
        found = f"does not go with {keeper}: an answer depends on the requests before it"
        yield Finding(("response_cache",), found, "remove one of the two")


def source_is(kind: SourceKind) -> dict[str, Any]:
    """The JSON Schema of a file whose source is of that kind."""
    of_kind = {"type": "object", "required": [kind]}
    return {"properties": {"source": of_kind}, "required": ["source"]}


def applicability_schema() -> list[dict[str, Any]]:
    """The same as JSON Schema: for each kind, the keys that may not stand beside it."""
    return [
        {
            "if": source_is(kind),
            "then": {
                "properties": {key: False for key, kinds in TAKEN_BY.items() if kind not in kinds}
            },
        }
        for kind in SOURCE_KINDS
    ]
