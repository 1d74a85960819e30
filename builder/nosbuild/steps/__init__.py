"""Steps: a model folder goes in; a BuildResult comes out. The only room that knows the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.steps.result import BuildResult, StepOutcome
    from nosbuild.steps.walk import build

__all__ = ["BuildResult", "StepOutcome", "build"]

_HOMES = {"build": "walk", "BuildResult": "result", "StepOutcome": "result"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"nosbuild.steps.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nosbuild.steps' has no attribute {name!r}")
