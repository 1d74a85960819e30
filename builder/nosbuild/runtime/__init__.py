"""A real Triton on this machine: its environment, its process, and the service it makes.

Enters: a model repository. Leaves: an ``InferenceService`` whose ports speak Triton's protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

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

__getattr__ = lazy_names(__name__, _HOME)
