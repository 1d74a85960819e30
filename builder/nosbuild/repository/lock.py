"""What went into a version goes in; ``nos.lock`` (JSON) comes out, and is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nosbuild.errors import RepositoryError
from nosbuild.store.hashing import sha256_of_value

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


class Lock(BaseModel):
    """Everything that a version was made from, and the digest of every file it serves."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    format: int = 1
    model: str
    version: int
    variant: str
    backend: str = "onnxruntime"
    """Triton's name of the backend that serves it."""
    details: dict[str, Any] = {}
    """What the variant's maker tells of it; of an engine, the machine that it is for."""
    identity: str
    """Digest of artifact, settings and golden samples: equal identities serve alike."""
    spec_digest: str
    """Digest of what the model.yaml said; comments and layout do not count."""
    artifact: dict[str, str]
    """File in the version folder -> sha256."""
    interface: str
    """Digest of the tensors and the largest batch: config.pbtxt has one for all versions."""
    config_sha256: str
    """Digest of config.pbtxt without its version policy."""
    steps: dict[str, str]
    """Step -> key of its entry in the build cache."""
    read: dict[str, str]
    """Every file that the user's code read (weights, data) -> sha256."""
    libraries: dict[str, str]
    host: dict[str, Any]
    proof: dict[str, Any]
    memory: dict[str, int] | None = None
    """What one instance holds, in bytes (``verify.memory.Memory``); None where it was not measured,
    and in locks of older versions."""
    tensors: dict[str, Any] = {}
    """Inputs, outputs and dims as they were known in the end: who calls the model needs the names
    and ranges of axes, which config.pbtxt does not tell. Empty in locks of older versions."""
    spec: dict[str, Any] | None = None
    """What the model.yaml said; None in locks of older versions."""
    nosbuild: str


def spec_content(spec: ModelSpec) -> dict[str, Any]:
    """What a model.yaml says of a version; comments and layout do not count, nor does which
    versions are served.
    """
    return spec.section(*(set(type(spec).model_fields) - {"version_policy"}))


def spec_digest(spec: ModelSpec) -> str:
    """Digest of that content."""
    return sha256_of_value(spec_content(spec))


def write_lock(lock: Lock, path: Path) -> None:
    """Write it, readable by people."""
    path.write_text(json.dumps(lock.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def read_lock(path: Path) -> Lock:
    """Read it back.

    Raises:
        RepositoryError: missing, or not a lock.
    """
    try:
        return Lock.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise RepositoryError(f"{path} cannot be read: {exc}", "Build the model again.") from exc
    except ValidationError as exc:
        raise RepositoryError(
            f"{path} is no lock of this version of nosbuild: {exc}", "Build the model again."
        ) from exc
