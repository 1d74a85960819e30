"""model.yaml -> ModelSpec: what the model is, its tensors, its quality bar, how it is served.

A path enters; a validated, frozen :class:`ModelSpec` leaves, or a SpecError with every problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

if TYPE_CHECKING:
    from nosbuild.spec.dims import DimRange
    from nosbuild.spec.loading import load_spec
    from nosbuild.spec.model_spec import ModelSpec
    from nosbuild.spec.objective import Objective
    from nosbuild.spec.pipelines import PipelineStep
    from nosbuild.spec.quality import Quality
    from nosbuild.spec.references import CallableReference, PackagePath
    from nosbuild.spec.schema import json_schema
    from nosbuild.spec.sequences import Sequence
    from nosbuild.spec.serving import Batching, Instances, Queue, VersionPolicy
    from nosbuild.spec.sources import Source
    from nosbuild.spec.starting import start_model
    from nosbuild.spec.templates import template

__all__ = [
    "Batching",
    "CallableReference",
    "DimRange",
    "Instances",
    "ModelSpec",
    "Objective",
    "PackagePath",
    "PipelineStep",
    "Quality",
    "Queue",
    "Sequence",
    "Source",
    "VersionPolicy",
    "json_schema",
    "load_spec",
    "start_model",
    "template",
]

# pydantic takes longer to import than the command line may take to print its help.
_HOMES = {
    "Batching": "serving",
    "CallableReference": "references",
    "DimRange": "dims",
    "Instances": "serving",
    "ModelSpec": "model_spec",
    "Objective": "objective",
    "PackagePath": "references",
    "PipelineStep": "pipelines",
    "Quality": "quality",
    "Queue": "serving",
    "Sequence": "sequences",
    "Source": "sources",
    "VersionPolicy": "serving",
    "json_schema": "schema",
    "load_spec": "loading",
    "start_model": "starting",
    "template": "templates",
}

__getattr__ = lazy_names(__name__, _HOMES)
