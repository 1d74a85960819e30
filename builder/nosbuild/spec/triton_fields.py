"""The ``raw`` section: fields of Triton's ModelConfig that nosbuild itself does not set."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nosbuild.spec.problems import Finding

_SET_ELSEWHERE = {
    "name": "set it with `name`",
    "backend": "remove it; the build chooses it for the artifact",
    "default_model_filename": "remove it; the build names the file",
    "platform": "remove it; the build sets `backend` instead",
    "input": "set it with `inputs`",
    "output": "set it with `outputs`",
    "max_batch_size": "set it with `dims`, e.g. dims: {batch: 1..8..64}",
    "version_policy": "set it with `version_policy`",
    "instance_group": "set it with `instances`",
    "dynamic_batching": "set it with `batching`",
    "optimization": "set it with `optimization`",
    "sequence_batching": "set it with `state` and `sequence`",
    "ensemble_scheduling": "set it with source: {pipeline: [...]}",
    "response_cache": "set it with `response_cache`",
}


def raw_findings(raw: dict[str, object]) -> Iterator[Finding]:
    """Fields that nosbuild derives; protobuf-JSON spells them in snake or in camel case."""
    for name in raw:
        field = re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
        if field in _SET_ELSEWHERE:
            yield Finding(("raw", name), "nosbuild derives this field", _SET_ELSEWHERE[field])
