"""What was said of a server goes in; a client of it comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import HostError

if TYPE_CHECKING:
    from nosbuild.cli.server_options import Server
    from nosbuild.runtime import ServiceRecord
    from nosclient import Client


def connect(server: Server, model: str = "") -> tuple[Client, ServiceRecord | None]:
    """A client, and the record of the service where it is one of this machine's.

    Args:
        server: any Triton server; without a url, the service that runs here: one whose repository
            is the current folder or lies in it, otherwise one whose repository has the model,
            otherwise the newest.
        model: that the server is wanted for.

    Raises:
        HostError: none runs here.
        InvalidInput: certificates or values that cannot be.
    """
    from nosbuild.runtime import running_services
    from nosbuild.runtime.service_record import service_at

    if server.url:
        return server.access.client(server.url), service_at(server.url)
    running = running_services()
    if not running:
        raise HostError("no service runs on this machine", "Start one (nosbuild serve), or --url.")
    server.found = record = _nearest(running, model)
    return server.access.client(record.grpc_url), record


def _nearest(running: Sequence[ServiceRecord], model: str) -> ServiceRecord:
    """Of several: the nearest to the current folder, of these the one with the model."""
    here = Path.cwd()

    def distance(record: ServiceRecord) -> tuple[bool, bool]:
        repository = Path(record.repository).resolve()
        has_model = bool(model) and (repository / model / "config.pbtxt").is_file()
        return not repository.is_relative_to(here), not has_model

    return min(running, key=distance)  # the newest of those that are equal
