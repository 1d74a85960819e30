"""By which way tensors travel: what a client may be asked for, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "auto", "system", "cuda"]
MODES = ("off", "auto", "system", "cuda")

_NAMES = {"wire": "wire", "system": "system shared memory", "cuda": "CUDA shared memory"}


@dataclass(frozen=True)
class Transport:
    """How tensors travel.

    Attributes:
        kind: ``wire``, ``system`` (shared memory of this machine) or ``cuda`` (that of a GPU).
        reason: why; for a person to read.
    """

    kind: Literal["wire", "system", "cuda"]
    reason: str

    def __str__(self) -> str:
        name = _NAMES[self.kind]
        return f"{name} ({self.reason})"
