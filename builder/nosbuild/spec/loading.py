"""A path -> the ModelSpec in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nosbuild.errors import SpecError, SpecProblem
from nosbuild.spec.applicability import contradictions, misplaced
from nosbuild.spec.fields import Origin
from nosbuild.spec.model_spec import ModelSpec
from nosbuild.spec.problems import problem, problems
from nosbuild.spec.python_keys import python_findings
from nosbuild.spec.sequences import Sequence
from nosbuild.spec.serving import Batching, Instances, Queue
from nosbuild.spec.sources import source_kind
from nosbuild.spec.yaml_source import KeyPath, YamlSource, read_yaml

FILE_NAME = "model.yaml"

_KNOWN_KEYS: dict[KeyPath, tuple[str, ...]] = {
    (): tuple(ModelSpec.model_fields),
    ("batching",): tuple(Batching.model_fields),
    ("batching", "queue"): tuple(Queue.model_fields),
    ("instances",): tuple(Instances.model_fields),
    ("sequence",): tuple(Sequence.model_fields),
}


def load_spec(path: Path | str) -> ModelSpec:
    """Read a model folder, or its model.yaml.

    Raises:
        SpecError: no such file, no YAML, or content that is no model spec; holds every problem.
    """
    # Not Path.resolve: a linked folder has the name under which Triton sees it.
    file = _model_yaml(Path(os.path.abspath(path)))  # noqa: PTH100
    source = read_yaml(file)
    given = {key: value for key, value in source.data.items() if value is not None}
    amiss = [*_empty_keys(source), *_misplaced_keys(given, source)]
    told = tuple(one.key for one in amiss)
    found = _between_keys(given, source)
    spec = None
    try:
        spec = ModelSpec.model_validate(given, context=Origin(file.parent, source))
    except ValidationError as error:
        found = [*problems(error, source, _KNOWN_KEYS), *found]
    found = [*amiss, *(one for one in found if not _is_part(one.key, told))]
    if spec is None or found:
        raise SpecError(file, sorted(found, key=lambda problem: problem.line or 0))
    return spec


def _model_yaml(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        remedy = f"check the path, or start a model there: nosbuild new {path.name} --from torch"
        raise SpecError(path, [SpecProblem("", "there is no such file or folder", remedy)])
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    remedy = f"create it, e.g. nosbuild new {path.name} --from torch"
    models = sorted(folder.parent.name for folder in path.glob(f"*/{FILE_NAME}"))
    others = sorted(file.name for pattern in ("*.yml", "*.yaml") for file in path.glob(pattern))
    if others:
        remedy = f"rename {others[0]} to {FILE_NAME}"
    elif models:
        remedy = f"name one of the models in it: {', '.join(models)}"
    raise SpecError(path, [SpecProblem("", f"the folder has no {FILE_NAME}", remedy)])


def _empty_keys(source: YamlSource) -> Iterator[SpecProblem]:
    for key, value in source.data.items():
        if value is None and key in ModelSpec.model_fields:
            remedy = "give it a value, or remove the key"
            yield SpecProblem(key, "has no value", remedy, source.line((key,)))


def _misplaced_keys(data: dict[str, Any], source: YamlSource) -> list[SpecProblem]:
    kind = source_kind(data.get("source"))
    return [problem(one, source) for one in misplaced(data, kind)] if kind else []


def _between_keys(data: dict[str, Any], source: YamlSource) -> list[SpecProblem]:
    """What two keys say that do not go together, however good each is alone."""
    kind = source_kind(data.get("source"))
    findings = [*contradictions(data, kind)] if kind else []
    if kind == "python":
        findings += python_findings(data, source.file.parent)
    return [problem(one, source) for one in findings]


def _is_part(key: str, of: tuple[str, ...]) -> bool:
    return key in of or key.startswith(tuple(f"{one}{after}" for one in of for after in ".["))
