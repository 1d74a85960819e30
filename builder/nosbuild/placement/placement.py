"""Which instances of which models run on which GPUs, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nosbuild.errors import InputError
from nosbuild.placement.needs import Need


@dataclass(frozen=True)
class PlacedGpu:
    """One GPU, and what is on it."""

    index: int
    size_bytes: int
    """Its memory."""
    reserved_bytes: int
    """What no model may take."""
    used_bytes: int
    """What the instances take."""
    instances: dict[str, int]
    """Model -> instances here."""
    time: Fraction
    """Share of its time that the rates ask for; models without a rate do not count."""

    @property
    def left_bytes(self) -> int:
        """What another instance could take."""
        return self.size_bytes - self.reserved_bytes - self.used_bytes

    @property
    def fraction(self) -> Fraction:
        """Share of its memory that the instances take, exactly."""
        return Fraction(self.used_bytes, self.size_bytes)


@dataclass(frozen=True)
class LeftOut:
    """A model for whose instances there is no place."""

    model: str
    instances: int
    bytes_each: int


@dataclass(frozen=True)
class Placement:
    """What is to run where, and what is known of it."""

    repository: Path
    gpus: tuple[PlacedGpu, ...]
    needs: tuple[Need, ...]
    """Every model's, those for the host and those left out among them."""
    left_out: tuple[LeftOut, ...]
    by: str
    """What found it."""
    at_least: int
    """GPUs that any placement of what is placed needs."""
    is_exact: bool
    """It is proven that fewer GPUs do not suffice; and, where something is left out, that not all
    fits."""
    utilisation: Fraction
    host_bytes: int | None = None
    """Bytes of the host for the models there; None where nothing was said."""
    missing: tuple[str, ...] = ()
    """What does not fit, a sentence each; empty where all fits."""
    advice: tuple[str, ...] = ()
    """What would help then, a sentence each."""
    would_do: int | None = None
    """GPUs onto which all would fit: those there are, and more of the largest; None for none."""
    notes: tuple[str, ...] = ()
    """What its user should know, a sentence each."""

    @property
    def fits(self) -> bool:
        """Every instance has its place."""
        return not self.missing

    @property
    def gpus_used(self) -> int:
        """GPUs that something is on."""
        return sum(bool(gpu.instances) for gpu in self.gpus)

    @property
    def host(self) -> tuple[Need, ...]:
        """Models that no GPU is for."""
        return tuple(need for need in self.needs if not need.on_gpu)

    @property
    def host_used_bytes(self) -> int:
        """Bytes of the host that they take."""
        return sum(need.bytes for need in self.host)

    def where(self, model: str) -> dict[int, int]:
        """GPU -> instances of the model there."""
        return {gpu.index: gpu.instances[model] for gpu in self.gpus if model in gpu.instances}

    def apply(self) -> list[str]:
        """Write the instance groups into every placed model's config.pbtxt, or into none.

        Returns:
            the models whose config.pbtxt changed.

        Raises:
            InputError: not everything fits.
            RepositoryError, HostError: one cannot be read or written. Nothing is changed then.
        """
        from nosbuild.repository.placed import write_placements

        if not self.fits:
            raise InputError(
                "nothing was placed, since not everything fits: " + self.missing[0],
                "Give more, or name fewer (--models).",
            )
        models = [need.model for need in self.needs if need.on_gpu]
        return write_placements(self.repository, {name: self.where(name) for name in models})

    def as_json(self) -> dict[str, Any]:
        """The same for machines; fractions as ``"3/80"``."""
        return {
            "fits": self.fits,
            "gpus_used": self.gpus_used,
            "at_least": self.at_least,
            "is_exact": self.is_exact,
            "by": self.by,
            "utilisation": str(self.utilisation),
            "gpus": [
                {
                    **asdict(gpu),
                    "left_bytes": gpu.left_bytes,
                    "fraction": str(gpu.fraction),
                    "time": str(gpu.time),
                }
                for gpu in self.gpus
            ],
            "models": [
                {
                    **asdict(need),
                    "time_each": str(need.time_each),
                    "gpus": {str(gpu): count for gpu, count in self.where(need.model).items()},
                }
                for need in self.needs
            ],
            "host": {"memory_bytes": self.host_bytes, "used_bytes": self.host_used_bytes},
            "left_out": [asdict(one) for one in self.left_out],
            "missing": list(self.missing),
            "advice": list(self.advice),
            "would_do": self.would_do,
            "notes": list(self.notes),
        }
