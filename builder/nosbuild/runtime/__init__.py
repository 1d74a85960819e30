"""A real Triton on this machine: its environment, its process, and the service it makes.

Enters: a model repository. Leaves: an ``InferenceService`` whose ports speak Triton's protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.runtime.docker.options import ContainerOptions
    from nosbuild.runtime.doctor import Finding, examine
    from nosbuild.runtime.environment import server_environment
    from nosbuild.runtime.service import InferenceService
    from nosbuild.runtime.service_record import ServiceRecord, running_services
    from nosbuild.runtime.serving import serve

__all__ = [
    "ContainerOptions",
    "Finding",
    "InferenceService",
    "ServiceRecord",
    "examine",
    "running_services",
    "serve",
    "server_environment",
]

_HOME = {
    "ContainerOptions": "docker.options",
    "Finding": "doctor",
    "InferenceService": "service",
    "ServiceRecord": "service_record",
    "examine": "doctor",
    "running_services": "service_record",
    "serve": "serving",
    "server_environment": "environment",
}


def __getattr__(name: str) -> Any:
    # Lazy: the command line imports this room to print its help.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
