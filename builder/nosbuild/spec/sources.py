"""The ``source`` section -> Source: where the model comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from nosbuild.spec.pipelines import (
    PIPELINE_SCHEMA,
    STEP_EXAMPLE,
    PipelineStep,
    parse_results,
    parse_steps,
    pipeline_inputs,
)
from nosbuild.spec.problems import Finding, did_you_mean, listed, one_of
from nosbuild.spec.references import (
    CALLABLE_PATTERN,
    PackagePath,
    check_callable,
    check_file,
    names_python_file,
)
from nosbuild.spec.yaml_source import KeyPath, type_name

SourceKind = Literal["torch", "huggingface", "onnx", "sklearn", "python", "pipeline"]
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_EXAMPLES: dict[str, str] = {
    "torch": "model.py:create",
    "sklearn": "model.py:train",
    "onnx": "model.onnx",
    "huggingface": "sentence-transformers/all-MiniLM-L6-v2",
    "python": "model.py:Summary",
    "pipeline": STEP_EXAMPLE,
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "torch": ("init",),
    "sklearn": ("init",),
    "onnx": (),
    "huggingface": ("revision",),
    "python": ("init",),
    "pipeline": ("outputs",),
}


@dataclass(frozen=True)
class Source:
    """Where the model comes from."""

    kind: SourceKind
    reference: str
    """torch, sklearn: ``file.py:callable`` or ``module:callable``; onnx: a path relative to the
    model's folder, ``package:path``, or ``file.py:callable`` for one that makes the model;
    huggingface: a folder, ``package:subfolder`` or a hub id;
    python: ``file.py:Class`` or ``module:Class``; pipeline: empty.
    """
    init: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the callable, or for the class."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None for the hub's default."""
    steps: tuple[PipelineStep, ...] = ()
    """Of a pipeline, as they are written; Triton runs each as soon as it has its inputs."""
    results: dict[str, str] = field(default_factory=dict)
    """Of a pipeline: output name -> the value that it is."""

    @property
    def is_exported(self) -> bool:
        """Whether the model becomes a graph of its own; Python classes and pipelines do not."""
        return self.kind not in ("python", "pipeline")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of a pipeline: the values that no step makes, in the order of their first use."""
        return pipeline_inputs(self.steps)

    def dump(self) -> dict[str, Any]:
        """The section as a spec may write it; a pipeline's outputs stand in it too."""
        if self.kind == "pipeline":
            return {"pipeline": [step.dump() for step in self.steps], "outputs": self.results}
        written: dict[str, Any] = {self.kind: self.reference}
        if self.init:
            written["init"] = self.init
        if self.revision is not None:
            written["revision"] = self.revision
        return written


def source_kind(value: object) -> SourceKind | None:
    """The kind that a section names; None where it names none, or several."""
    kinds = [kind for kind in SOURCE_KINDS if isinstance(value, dict) and kind in value]
    return kinds[0] if len(kinds) == 1 else None


def parse_source(value: object, folder: Path, outputs: object = None) -> Source | list[Finding]:
    """Read the section, or say everything that is wrong with it.

    Args:
        value: what stands at ``source``.
        folder: the model's folder.
        outputs: what stands at ``outputs``, which belongs to a pipeline's source.
    """
    if not isinstance(value, dict):
        found = f"{value!r} is {type_name(value)}, not a mapping"
        return [Finding(("source",), found, 'write e.g. source: {torch: "model.py:create"}')]
    kinds = [key for key in value if key in SOURCE_KINDS]
    findings = list(_kind_findings(value, kinds))
    if findings or not kinds:
        return findings
    kind: SourceKind = kinds[0]
    if kind == "pipeline":
        return _parse_pipeline(value, folder, outputs)
    findings = list(_content_findings(kind, value, folder))
    if findings:
        return findings
    return Source(kind, value[kind], value.get("init", {}), value.get("revision"))


def _parse_pipeline(value: dict[str, Any], folder: Path, outputs: object) -> Source | list[Finding]:
    findings = list(_option_findings("pipeline", value))
    steps = parse_steps(value["pipeline"], folder.name)
    if isinstance(steps, list):
        return [*findings, *steps]
    key: KeyPath = ("outputs",)
    if "outputs" in value:
        key = ("source", "outputs")
        if outputs is not None:
            findings.append(Finding(key, "stands twice, as outputs too", "keep one of the two"))
        outputs = value["outputs"]
    results = parse_results(outputs, steps, key)
    if isinstance(results, list):
        return [*findings, *results]
    return findings or Source("pipeline", "", steps=steps, results=results)


def _kind_findings(value: dict[str, Any], kinds: list[str]) -> Iterator[Finding]:
    options = {option for taken in _OPTIONS.values() for option in taken}
    known = (*SOURCE_KINDS, *sorted(options))
    if len(kinds) > 1:
        yield Finding(
            ("source",), f"has {len(kinds)} kinds: {', '.join(kinds)}", "keep one of them"
        )
    for key in value:
        if key not in known:
            remedy = did_you_mean(key, known, one_of(SOURCE_KINDS))
            yield Finding(("source", key), "unknown source", remedy)
    if not kinds and all(key in known for key in value):
        remedy = f'{one_of(SOURCE_KINDS)}, e.g. source: {{torch: "model.py:create"}}'
        yield Finding(("source",), "says no kind of source", remedy)


def _content_findings(kind: SourceKind, value: dict[str, Any], folder: Path) -> Iterator[Finding]:
    reference = value[kind]
    if not isinstance(reference, str) or not reference.strip():
        shown = "is empty" if not reference else f"is {type_name(reference)}, not a string"
        yield Finding(("source", kind), shown, f'write e.g. {kind}: "{_EXAMPLES[kind]}"')
    else:
        yield from _reference_findings(kind, reference, folder)
    yield from _option_findings(kind, value)
    yield from _init_findings(value.get("init", {}))
    revision = value.get("revision", "main")
    if not isinstance(revision, str) or not revision:
        found = f"{revision} is {type_name(revision)}, not a string"
        yield Finding(("source", "revision"), found, f'quote it: revision: "{revision}"')


def _option_findings(kind: SourceKind, value: dict[str, Any]) -> Iterator[Finding]:
    for option in value:
        if option != kind and option not in _OPTIONS[kind]:
            takers = [taker for taker, taken in _OPTIONS.items() if option in taken]
            remedy = f"remove it; it is for {listed(takers)}"
            yield Finding(("source", option), f"does not go with {kind}", remedy)


def _reference_findings(kind: SourceKind, reference: str, folder: Path) -> Iterator[Finding]:
    key = ("source", kind)
    if kind in ("torch", "sklearn", "python"):
        what = "Class" if kind == "python" else "callable"
        yield from check_callable(key, reference, folder, _EXAMPLES[kind], what)
        return
    if kind == "onnx" and names_python_file(reference):
        yield from check_callable(key, reference, folder, "model.py:create")
        return
    # A folder of weights may lie anywhere; a colon in its name does not make it a package.
    if kind == "huggingface" and (folder / reference).is_dir():
        return
    try:
        package = PackagePath.parse(reference)
    except ValueError as error:
        yield Finding(key, str(error), 'write "package:path/inside/it"')
        return
    if package is not None:
        return
    if kind == "onnx":
        yield from check_file(key, reference, folder)
    elif not _HUB_ID.fullmatch(reference):
        remedy = 'write an existing folder, "package:subfolder", or a hub id "org/name"'
        yield Finding(key, f"there is no folder {reference!r}", remedy)


def _init_findings(init: object) -> Iterator[Finding]:
    if not isinstance(init, dict):
        remedy = "write keyword arguments, e.g. init: {width: 64}"
        yield Finding(("source", "init"), f"is {type_name(init)}, not a mapping", remedy)
        return
    for name in init:
        if not str(name).isidentifier():
            remedy = "use the name of an argument"
            yield Finding(("source", "init", name), f"{name!r} is no argument's name", remedy)


def _one_kind(kind: SourceKind, what: dict[str, Any]) -> dict[str, Any]:
    options = {
        "init": {"type": "object", "description": "Keyword arguments for the callable."},
        "revision": {"type": "string", "description": "Branch, tag or commit on the hub."},
    }
    return {
        "type": "object",
        "properties": {
            kind: {"type": "string", **what, "examples": [_EXAMPLES[kind]]},
            **{name: options[name] for name in _OPTIONS[kind]},
        },
        "required": [kind],
        "additionalProperties": False,
    }


SCHEMA: dict[str, Any] = {
    "title": "Source",
    "description": "Where the model comes from; exactly one kind.",
    "oneOf": [
        _one_kind(
            "torch",
            {"pattern": CALLABLE_PATTERN, "description": "A callable that returns an nn.Module."},
        ),
        _one_kind(
            "huggingface",
            {"minLength": 1, "description": "A folder, package:subfolder, or a hub id."},
        ),
        _one_kind(
            "onnx",
            {
                "minLength": 1,
                "description": "A file, package:path/inside, or file.py:callable (a ModelProto).",
            },
        ),
        _one_kind(
            "sklearn",
            {"pattern": CALLABLE_PATTERN, "description": "A callable: a fitted estimator."},
        ),
        _one_kind("python", {"pattern": CALLABLE_PATTERN, "description": "A class."}),
        PIPELINE_SCHEMA,
    ],
}
"""JSON Schema of the section."""
