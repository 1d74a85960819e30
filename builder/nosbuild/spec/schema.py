"""The JSON Schema of a model.yaml, for editors."""

from __future__ import annotations

from typing import Any

from nosbuild.spec.applicability import applicability_schema, source_is
from nosbuild.spec.model_spec import ModelSpec
from nosbuild.spec.pipelines import RESULTS_SCHEMA


def json_schema() -> dict[str, Any]:
    """What may stand in a model.yaml, as it is written there (JSON Schema 2020-12)."""
    schema: dict[str, Any] = _without_null(ModelSpec.model_json_schema(mode="validation"))
    properties = schema["properties"]
    properties["batching"] = {
        "description": "Dynamic batching; false switches it off.",
        "oneOf": [{"type": "boolean"}, {"$ref": "#/$defs/Batching"}],
    }
    properties["instances"] = {
        "description": "Copies of the model and where they run.",
        "oneOf": [
            {"const": "auto"},
            {"type": "integer", "minimum": 1},
            {"$ref": "#/$defs/Instances"},
        ],
    }
    # Declared as tensors, but as values where the source is a pipeline.
    tensors = properties["outputs"]
    properties["outputs"] = {"type": "object", "description": tensors.pop("description")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "nosbuild model.yaml",
        "description": "What a model is, its tensors, its quality bar, and how it is served.",
        "allOf": [
            *applicability_schema(),
            {
                "if": source_is("pipeline"),
                "then": {"properties": {"outputs": RESULTS_SCHEMA}},
                "else": {"properties": {"outputs": tensors}},
            },
        ],
    }


def _without_null(part: Any) -> Any:
    """``anyOf [X, null]`` -> ``X``: a key without a value is an error in a model.yaml."""
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {
        key: _without_null(value)
        for key, value in part.items()
        if not (key == "default" and value is None)
    }
    choices = [choice for choice in kept.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return kept
