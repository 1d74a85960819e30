"""A service, or the record of one, goes in; what a roll-out needs of it comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.runtime.served_files import ServedFiles, served_files_of

if TYPE_CHECKING:
    from nosbuild.runtime.embedded_service import EmbeddedService
    from nosbuild.runtime.environment import ServerEnvironment
    from nosbuild.runtime.service_record import ServiceRecord
    from nosclient import Client

Environment = Callable[[Callable[[str], None]], "ServerEnvironment"]


@dataclass(frozen=True)
class RunningServer:
    """A Triton on this machine that nosbuild started, as ``prove.Server`` and more."""

    repository: Path
    files: ServedFiles
    http_url: str
    grpc_url: str
    log_file: Path
    client: Callable[[], Client]
    """Opens one that may load and unload models."""
    environment: Environment
    """What its models run in; told what is installed."""
    is_on_demand: bool | None = None
    """Whether a model manager loads its models; None: the server is to be asked."""

    @staticmethod
    def of_service(service: EmbeddedService) -> RunningServer:
        """One that this process started."""
        return RunningServer(
            service.repository,
            service.files,
            service.http_url,
            service.grpc_url,
            service.log_file,
            service.client,
            lambda _: service.environment,
            service.is_on_demand,
        )

    @staticmethod
    def of_record(record: ServiceRecord, client: Callable[[], Client]) -> RunningServer | None:
        """One that another process started; None where that was an older nosbuild."""
        from nosbuild.runtime.environment import server_environment

        files = served_files_of(record.pid)
        if files is None:
            return None
        return RunningServer(
            Path(record.repository),
            files,
            record.http_url,
            record.grpc_url,
            Path(record.log_file),
            client,
            server_environment,
        )
