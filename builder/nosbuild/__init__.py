"""nosbuild: a model.yaml goes in, a proven Triton endpoint comes out.

The public face; everything here is imported on first use, so that ``import nosbuild`` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names
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
    "BuildResult": "steps",
    "ContainerOptions": "runtime",
    "InferenceService": "runtime",
    "ModelSpec": "spec",
    "NosError": "errors",
    "Placement": "placement",
    "Refused": "errors",
    "build": "steps",
    "load_spec": "spec",
    "place": "placement",
    "serve": "rollout",
    "watching": "rollout",
}

__getattr__ = lazy_names(__name__, _HOMES)
