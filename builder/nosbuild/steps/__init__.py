"""Steps: a model folder goes in; a BuildResult comes out. The only room that knows the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

if TYPE_CHECKING:
    from nosbuild.steps.result import BuildResult, StepOutcome
    from nosbuild.steps.walk import build

__all__ = ["BuildResult", "StepOutcome", "build"]

_HOMES = {"build": "walk", "BuildResult": "result", "StepOutcome": "result"}

__getattr__ = lazy_names(__name__, _HOMES)
