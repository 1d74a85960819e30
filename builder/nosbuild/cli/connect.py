"""``--url`` goes in; a client of a running server comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.cli.options import DEFAULT_REPOSITORY
from nosbuild.errors import HostError

if TYPE_CHECKING:
    from nosbuild.runtime import ServiceRecord
    from nosclient import Client


def connect(url: str) -> tuple[Client, ServiceRecord | None]:
    """A client, and the record of the service where it is one of this machine's.

    Args:
        url: of any Triton server; empty for the service that runs here: the one on
            ``./model_repository``, otherwise the newest.

    Raises:
        HostError: none runs here.
    """
    from nosbuild.runtime import running_services
    from nosclient import Client

    running = running_services()
    if url:
        record = next((r for r in running if url in (r.grpc_url, r.http_url)), None)
        return Client(url), record
    if not running:
        raise HostError("no service runs on this machine", "Start one (nosbuild serve), or --url.")
    here = str(Path(DEFAULT_REPOSITORY).resolve())
    record = next((r for r in running if r.repository == here), running[0])
    return Client(record.grpc_url), record
