"""What an optimisation tells of the artifact it wrote, as data."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Made(BaseModel):
    """One artifact, written into the step's folder, unproven as yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: str
    """One line for people: ``8-bit weights per channel, 36 of 36 MatMul; 2 kept in fp32``."""
    details: dict[str, Any] = Field(default_factory=dict)
    """For the lock and the report; JSON-able."""
