"""nosbuild: a model.yaml goes in, a proven Triton endpoint comes out.

The public face; everything here is imported on first use, so that ``import nosbuild`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nosbuild.version import VERSION

if TYPE_CHECKING:
    from nosbuild.errors import NosError, Refused
    from nosbuild.placement import Placement, place
    from nosbuild.rollout import serve, watching
    from nosbuild.runtime import ContainerOptions, InferenceService
    from nosbuild.spec import ModelSpec, load_spec
    from nosbuild.steps import BuildResult, build

__version__ = VERSION
__all__ = [
    "BuildResult",
    "ContainerOptions",
    "InferenceService",
    "ModelSpec",
    "NosError",
    "Placement",
    "Refused",
    "__version__",
    "build",
    "load_spec",
    "place",
    "serve",
    "watching",
]

_HOMES = {
    "BuildResult": "nosbuild.steps",
    "ContainerOptions": "nosbuild.runtime",
    "InferenceService": "nosbuild.runtime",
    "ModelSpec": "nosbuild.spec",
    "NosError": "nosbuild.errors",
    "Placement": "nosbuild.placement",
    "Refused": "nosbuild.errors",
    "build": "nosbuild.steps",
    "load_spec": "nosbuild.spec",
    "place": "nosbuild.placement",
    "serve": "nosbuild.rollout",
    "watching": "nosbuild.rollout",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nosbuild' has no attribute {name!r}")
