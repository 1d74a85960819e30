"""The fields of a ModelSpec: how each is read, dumped and described to editors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)

from nosbuild.errors import InternalError
from nosbuild.spec import (
    declared_tensors,
    objective,
    padding,
    pip_requirements,
    precision,
    quality,
    serving,
    sources,
)
from nosbuild.spec.axes import DIMS_SCHEMA, parse_dims
from nosbuild.spec.declared_tensors import dump_tensors, parse_tensors
from nosbuild.spec.dims import DimRange
from nosbuild.spec.names import NAME_PATTERN
from nosbuild.spec.pip_requirements import REQUIREMENT_PATTERN, parse_requirements
from nosbuild.spec.problems import Finding, one_of, rejected
from nosbuild.spec.references import CALLABLE_PATTERN
from nosbuild.spec.yaml_source import YamlSource
from nosbuild.tensors import DType, TensorSpec


@dataclass(frozen=True)
class Origin:
    """Where a spec was read from.

    Nothing in it is compared: pydantic compares private attributes too, and two specs with the
    same content are equal wherever they lie.
    """

    folder: Path = field(compare=False)
    source: YamlSource = field(compare=False)
    told: bool = field(default=False, compare=False)
    """Whether the tensors are those of the served model; see ``ModelSpec.with_tensors``."""


def origin_folder(info: ValidationInfo) -> Path:
    """The folder of the model that is being validated."""
    return _origin(info).folder


def written(info: ValidationInfo) -> dict[str, Any]:
    """The whole file as it is written."""
    return _origin(info).source.data


def is_exported(info: ValidationInfo) -> bool:
    """Whether the model is exported to a graph; its tensors are then those that Triton has."""
    return sources.source_kind(written(info).get("source")) not in ("python", "pipeline")


def known_outputs(info: ValidationInfo) -> tuple[dict[str, DType | None], bool]:
    """Output name -> dtype as far as they are known, and whether these are all."""
    source: sources.Source | None = info.data.get("source")
    if source is not None and source.kind == "pipeline":
        return dict.fromkeys(source.results), True
    outputs: dict[str, TensorSpec] | None = info.data.get("outputs")
    dtypes: dict[str, DType | None] = {
        name: tensor.dtype for name, tensor in (outputs or {}).items()
    }
    return dtypes, outputs is not None and is_exported(info)


def _origin(info: ValidationInfo) -> Origin:
    if not isinstance(info.context, Origin):
        raise InternalError("a ModelSpec is made by load_spec alone")
    return info.context


def refuse(findings: Iterable[Finding]) -> None:
    """Raise what was found, if anything was."""
    if found := list(findings):
        raise rejected(found)


def _accept(parsed: Any) -> Any:
    if isinstance(parsed, list):
        raise rejected(parsed)
    return parsed


def _source(value: Any, info: ValidationInfo) -> sources.Source | list[Finding]:
    return sources.parse_source(value, origin_folder(info), written(info).get("outputs"))


def _outputs(value: Any, info: ValidationInfo) -> Any:
    """Those of a pipeline name values, and are part of its source."""
    source = written(info).get("source")
    if value is None or (isinstance(source, dict) and "pipeline" in source):
        return None
    return _accept(parse_tensors("outputs", value))


PYTHONS = ("3.10", "3.11", "3.12")
"""Versions of Python that Triton's Python backend has a stub for, and numpy 1.26 wheels."""


def _python_version(value: str) -> str:
    if value not in PYTHONS:
        near = re.search(r"3\.1[0-2]\b", value)
        known = [f'"{version}"' for version in PYTHONS]
        remedy = f'did you mean "{near[0]}"?' if near else one_of(known)
        found = f"{value!r} is no Python that models are served with"
        refuse([Finding(("python",), found, remedy)])
    return value


def _build_requirements(requirements: tuple[str, ...]) -> tuple[str, ...]:
    remedy = "write e.g. some-package==1.2.0"
    refuse(
        Finding(("build_requirements", position), f"{text!r} is no pip requirement", remedy)
        for position, text in enumerate(requirements)
        if not re.match(REQUIREMENT_PATTERN, text)
    )
    return requirements


NameField = Annotated[StrictStr, Field(json_schema_extra={"pattern": NAME_PATTERN})]
CallableField = Annotated[StrictStr, Field(json_schema_extra={"pattern": CALLABLE_PATTERN})]
BuildRequirementsField = Annotated[
    tuple[Annotated[StrictStr, Field(json_schema_extra={"pattern": REQUIREMENT_PATTERN})], ...],
    AfterValidator(_build_requirements),
]

SourceField = Annotated[
    sources.Source,
    PlainValidator(lambda value, info: _accept(_source(value, info))),
    PlainSerializer(sources.Source.dump),
    WithJsonSchema(sources.SCHEMA),
]
RequirementsField = Annotated[
    tuple[str, ...],
    PlainValidator(
        lambda value, info: _accept(
            parse_requirements(value, origin_folder(info), written(info).get("python"))
        )
    ),
    PlainSerializer(list),
    WithJsonSchema(pip_requirements.SCHEMA),
]
PythonField = Annotated[
    StrictStr, AfterValidator(_python_version), Field(json_schema_extra={"enum": list(PYTHONS)})
]
PadField = Annotated[
    dict[str, padding.PadValue],
    PlainValidator(
        lambda value, info: _accept(
            padding.parse_pad(value, info.data.get("inputs"), info.data.get("outputs"))
        )
    ),
    WithJsonSchema(padding.PAD_SCHEMA),
]
InputsField = Annotated[
    dict[str, TensorSpec] | None,
    PlainValidator(
        lambda value: value if value is None else _accept(parse_tensors("inputs", value))
    ),
    PlainSerializer(dump_tensors),
    WithJsonSchema(declared_tensors.INPUTS_SCHEMA),
]
OutputsField = Annotated[
    dict[str, TensorSpec] | None,
    PlainValidator(_outputs),
    PlainSerializer(dump_tensors),
    WithJsonSchema(declared_tensors.OUTPUTS_SCHEMA),
]
DimsField = Annotated[
    dict[str, DimRange],
    PlainValidator(lambda value: _accept(parse_dims(value))),
    PlainSerializer(lambda dims: {axis: str(sizes) for axis, sizes in dims.items()}),
    WithJsonSchema(DIMS_SCHEMA),
]
QualityField = Annotated[
    quality.Quality,
    PlainValidator(lambda value, info: _accept(quality.parse_quality(value, origin_folder(info)))),
    PlainSerializer(quality.Quality.dump),
    WithJsonSchema(quality.SCHEMA),
]
PrecisionField = Annotated[
    precision.Candidates,
    PlainValidator(lambda value: _accept(precision.parse_precision(value))),
    PlainSerializer(lambda wanted: wanted if wanted == "auto" else list(wanted)),
    WithJsonSchema(precision.SCHEMA),
]
ObjectiveField = Annotated[
    objective.Objective,
    PlainValidator(lambda value: _accept(objective.parse_objective(value))),
    PlainSerializer(objective.Objective.dump),
    WithJsonSchema(objective.SCHEMA),
]
BatchingField = Annotated[serving.Batching | None, BeforeValidator(serving.batching_from_short)]
InstancesField = Annotated[serving.Instances, BeforeValidator(serving.instances_from_short)]
SecondsField = Annotated[
    float,
    PlainValidator(lambda value: _accept(serving.parse_max_execution_seconds(value))),
    WithJsonSchema(serving.MAX_EXECUTION_SECONDS_SCHEMA),
]
VersionPolicyField = Annotated[
    serving.VersionPolicy,
    PlainValidator(lambda value: _accept(serving.parse_version_policy(value))),
    PlainSerializer(serving.VersionPolicy.dump),
    WithJsonSchema(serving.VERSION_POLICY_SCHEMA),
]
