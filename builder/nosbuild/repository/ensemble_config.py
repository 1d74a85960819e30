"""A pipeline's graph goes in; what Triton's ModelConfig says of an ensemble comes out.

Format: ``ModelEnsembling`` of model_config.proto. An ensemble has no instances, no batcher and no
warm-up of its own: its models have theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.export.pipeline_graph import Graph

if TYPE_CHECKING:
    from nosbuild.verify.variant import VerifiedVariant

ENSEMBLE = "ensemble"
"""Triton's name of the platform; in a lock, of the backend."""
_NEWEST = -1
"""The newest version that Triton serves of a model."""


def is_ensemble(variant: VerifiedVariant) -> bool:
    """True for a pipeline."""
    return variant.runs_on.backend == ENSEMBLE


def set_ensemble(config: Any, artifact: Path) -> None:
    """Fill in what makes an ensemble of a ModelConfig.

    Args:
        config: its tensors are there.
        artifact: folder with ``pipeline.json``.
    """
    graph = Graph.read(artifact)
    config.backend, config.platform = "", ENSEMBLE
    for tensor in (*config.input, *config.output):
        tensor.ClearField("reshape")  # Triton compares its shape with that of the models' dims
    for stage in graph.stages:
        config.ensemble_scheduling.step.add(
            model_name=stage.model,
            model_version=_NEWEST,
            input_map=stage.inputs,
            output_map=stage.outputs,
        )
    if graph.decoupled:
        config.model_transaction_policy.decoupled = True


def share_ensemble(config: Any, shared: Any) -> None:
    """Copy into ``shared`` what all versions must have in common that one config.pbtxt serves:
    it has one graph for all of them.
    """
    if config.platform == ENSEMBLE:
        shared.platform = config.platform
        shared.ensemble_scheduling.CopyFrom(config.ensemble_scheduling)
