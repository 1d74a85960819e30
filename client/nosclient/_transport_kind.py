"""By which way tensors travel: what a client may be asked for, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "auto", "system"]
MODES = ("off", "auto", "system")


@dataclass(frozen=True)
class Transport:
    """How tensors travel.

    Attributes:
        kind: ``wire`` or ``system`` (shared memory of this machine).
        reason: why; for a person to read.
    """

    kind: Literal["wire", "system"]
    reason: str

    def __str__(self) -> str:
        name = {"wire": "wire", "system": "system shared memory"}[self.kind]
        return f"{name} ({self.reason})"
