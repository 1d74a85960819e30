"""Placement: built models, rates and GPUs go in; which instances run where comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

if TYPE_CHECKING:
    from nosbuild.placement.placement import Placement
    from nosbuild.placement.placing import place

__all__ = ["Placement", "place"]

_HOMES = {"place": "placing", "Placement": "placement"}

__getattr__ = lazy_names(__name__, _HOMES)
