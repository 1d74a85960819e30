"""A Proof and the files it speaks of go in; a VerifiedVariant comes out, or a refusal.

The repository room publishes nothing else, and nothing else makes one: an unproven model cannot
be published.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import InternalError, Refused
from nosbuild.store.hashing import sha256_of_file
from nosbuild.tensors import TensorSpec
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Proof

_SEAL = object()


@dataclass(frozen=True)
class VerifiedVariant:
    """An artifact whose proof passed, byte for byte the one that was proven."""

    name: str
    backend: str
    artifact: Path
    """Folder that holds the files named in ``proof.artifact``."""
    golden: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    proof: Proof
    measurement: Measurement
    _seal: object = None

    def __post_init__(self) -> None:
        """Raises InternalError for anyone but ``verified``."""
        if self._seal is not _SEAL:
            raise InternalError("a VerifiedVariant is made by verify.variant.verified alone")


def verified(
    *,
    backend: str,
    artifact: Path,
    golden: Path,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    proof: Proof,
    measurement: Measurement,
) -> VerifiedVariant:
    """Seal a variant.

    Raises:
        Refused: the proof did not pass, or speaks of other bytes.
    """
    if not proof.passed:
        raise Refused(f"{proof.variant} is not proven:\n{proof.refusal()}")
    for name, digest in proof.artifact.items():
        if sha256_of_file(artifact / name) != digest:
            raise Refused(
                f"{artifact / name} is not the file that was proven",
                "Build again; nothing was published.",
            )
    return VerifiedVariant(
        name=proof.variant,
        backend=backend,
        artifact=artifact,
        golden=golden,
        inputs=inputs,
        outputs=outputs,
        proof=proof,
        measurement=measurement,
        _seal=_SEAL,
    )
