"""The fields of a ModelSpec: how each is read, dumped and described to editors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)

from nosbuild.errors import InternalError
from nosbuild.spec import declared_tensors, objective, precision, quality, serving, sources
from nosbuild.spec.axes import DIMS_SCHEMA, parse_dims
from nosbuild.spec.declared_tensors import dump_tensors, parse_tensors
from nosbuild.spec.dims import DimRange
from nosbuild.spec.names import NAME_PATTERN
from nosbuild.spec.problems import Finding, rejected
from nosbuild.spec.references import CALLABLE_PATTERN
from nosbuild.spec.yaml_source import YamlSource
from nosbuild.tensors import TensorSpec


@dataclass(frozen=True)
class Origin:
    """Where a spec was read from.

    Nothing in it is compared: pydantic compares private attributes too, and two specs with the
    same content are equal wherever they lie.
    """

    folder: Path = field(compare=False)
    source: YamlSource = field(compare=False)


def origin_folder(info: ValidationInfo) -> Path:
    """The folder of the model that is being validated."""
    return _origin(info).folder


def written(info: ValidationInfo) -> dict[str, Any]:
    """The whole file as it is written."""
    return _origin(info).source.data


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


REQUIREMENT_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*($|[\[=<>!~;@ ].*$)"


def _source(value: Any, info: ValidationInfo) -> sources.Source | list[Finding]:
    return sources.parse_source(value, origin_folder(info), written(info).get("outputs"))


def _outputs(value: Any, info: ValidationInfo) -> Any:
    """Those of a pipeline name values, and are part of its source."""
    if value is None or sources.source_kind(written(info).get("source")) == "pipeline":
        return None
    return _accept(parse_tensors("outputs", value))


NameField = Annotated[StrictStr, Field(json_schema_extra={"pattern": NAME_PATTERN})]
CallableField = Annotated[StrictStr, Field(json_schema_extra={"pattern": CALLABLE_PATTERN})]
RequirementField = Annotated[StrictStr, Field(json_schema_extra={"pattern": REQUIREMENT_PATTERN})]

SourceField = Annotated[
    sources.Source,
    PlainValidator(lambda value, info: _accept(_source(value, info))),
    PlainSerializer(sources.Source.dump),
    WithJsonSchema(sources.SCHEMA),
]
RequirementsField = tuple[RequirementField, ...]
PythonField = Literal["3.10", "3.11", "3.12"] | None
PadField = dict[StrictStr, int | float | str]
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
VersionPolicyField = Annotated[
    serving.VersionPolicy,
    PlainValidator(lambda value: _accept(serving.parse_version_policy(value))),
    PlainSerializer(serving.VersionPolicy.dump),
    WithJsonSchema(serving.VERSION_POLICY_SCHEMA),
]
