"""How a Python model was built goes in; what Triton's ModelConfig says of such a one comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nosbuild.repository.layout import ENVIRONMENTS

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

PYTHON = "python"
"""Triton's name of the backend."""
_ENVIRONMENT = "EXECUTION_ENV_PATH"
STREAM_LEGS = "stream_legs"
"""Tells nosclient that a long stream goes in legs (nosclient's _stream_session.py)."""


def set_python(config: Any, details: Mapping[str, Any], spec: ModelSpec) -> None:
    """Fill in what only the Python backend needs.

    Args:
        config: ModelConfig, its tensors there.
        details: of the variant: ``environment`` as it is locked, where the model has one of its
            own; ``streams``.
        spec: ``pad`` names the inputs whose requests Triton may join although their shapes differ.
    """
    for row in config.input:
        if row.name in spec.pad and config.max_batch_size:
            row.allow_ragged_batch = True
    if details.get("streams"):
        config.model_transaction_policy.decoupled = True
        config.parameters[STREAM_LEGS].string_value = "1"
    if environment := details.get("environment"):
        # Triton writes the model's folder there: the repository may move.
        path = f"$$TRITON_MODEL_DIRECTORY/{ENVIRONMENTS}/{environment['key']}"
        config.parameters[_ENVIRONMENT].string_value = path


def share_python(config: Any, shared: Any) -> None:
    """Copy into ``shared`` what all versions must have in common that one config.pbtxt serves."""
    if config.HasField("model_transaction_policy"):
        shared.model_transaction_policy.CopyFrom(config.model_transaction_policy)
    if _ENVIRONMENT in config.parameters:
        shared.parameters[_ENVIRONMENT].CopyFrom(config.parameters[_ENVIRONMENT])


def warms_up(details: Mapping[str, Any]) -> bool:
    """Whether Triton may send it a request while it loads: the models that it calls may not be
    there yet, and a stream has no one answer.
    """
    return not details.get("streams") and not details.get("calls")
