"""Placement: built models, rates and GPUs go in; which instances run where comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.placement.placement import Placement
    from nosbuild.placement.placing import place

__all__ = ["Placement", "place"]

_HOMES = {"place": "placing", "Placement": "placement"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"nosbuild.placement.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nosbuild.placement' has no attribute {name!r}")
