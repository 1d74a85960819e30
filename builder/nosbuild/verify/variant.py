"""A Proof and the files it speaks of go in; a VerifiedVariant comes out, or a refusal.

The repository room publishes nothing else, and nothing else makes one: an unproven model cannot
be published, unless its user vouches for it by name (``trusted``), which the lock then says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.errors import InternalError, Refused
from nosbuild.plan import RunsOn
from nosbuild.store.hashing import sha256_of_file
from nosbuild.tensors import TensorSpec
from nosbuild.verify.measure import Measurement
from nosbuild.verify.memory import Memory
from nosbuild.verify.proof import Proof

_SEAL = object()


@dataclass(frozen=True)
class VerifiedVariant:
    """An artifact whose proof passed, byte for byte the one that was proven."""

    name: str
    runs_on: RunsOn
    artifact: Path
    """Folder that holds the files named in ``proof.artifact``."""
    golden: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    proof: Proof
    measurement: Measurement
    details: dict[str, Any]
    """What its maker tells of it; of an engine, the machine that it is for."""
    memory: Memory | None = None
    """Of one instance; None where it was not measured: on a GPU, of an ensemble."""
    _seal: object = None

    def __post_init__(self) -> None:
        """Raises InternalError for anyone but the functions of this file."""
        if self._seal is not _SEAL:
            raise InternalError("a VerifiedVariant is made by verify.variant alone")


def verified(
    *,
    runs_on: RunsOn,
    artifact: Path,
    details: dict[str, Any],
    golden: Path,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    proof: Proof,
    measurement: Measurement,
    memory: Memory | None = None,
) -> VerifiedVariant:
    """Seal a variant.

    Raises:
        Refused: the proof did not pass, or speaks of other bytes.
    """
    if not proof.passed:
        raise Refused(f"{proof.variant} is not proven:\n{proof.refusal()}")
    _check_bytes(artifact, proof)
    return VerifiedVariant(
        name=proof.variant,
        runs_on=runs_on,
        artifact=artifact,
        details=details,
        golden=golden,
        inputs=inputs,
        outputs=outputs,
        proof=proof,
        measurement=measurement,
        memory=memory,
        _seal=_SEAL,
    )


def trusted(
    name: str,
    *,
    runs_on: RunsOn,
    artifact: Path,
    files: dict[str, str],
    details: dict[str, Any],
    golden: Path,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    reason: str,
) -> VerifiedVariant:
    """Seal a variant that nothing here can run, because its user vouches for it by name.

    Args:
        name: of the variant.
        runs_on: what serves it.
        artifact: folder of the files.
        files: name -> sha256.
        details: what its maker tells of it.
        golden: samples with the source's answers, to prove it where it runs.
        inputs: its tensors.
        outputs: its tensors.
        reason: why it could not be proven; the lock and the report say so.
    """
    proof = Proof(
        variant=name,
        artifact=files,
        findings=(),
        reasons=(f"trusted by the user's word: {reason}",),
        samples=0,
        real_samples=False,
        batches=(),
    )
    _check_bytes(artifact, proof)
    return VerifiedVariant(
        name=name,
        runs_on=runs_on,
        artifact=artifact,
        golden=golden,
        inputs=inputs,
        outputs=outputs,
        proof=proof,
        measurement=Measurement(
            latencies=(), throughputs=(), instances=1, threads=1, why="nothing here can run it"
        ),
        details=details,
        _seal=_SEAL,
    )


def _check_bytes(artifact: Path, proof: Proof) -> None:
    for name, digest in proof.artifact.items():
        if sha256_of_file(artifact / name) != digest:
            raise Refused(
                f"{artifact / name} is not the file that was proven",
                "Build again; nothing was published.",
            )
