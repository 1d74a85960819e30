"""Which services run on this machine: one small state file each, for other processes to find."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from nosbuild.store.folders import cache_folder
from nosbuild.store.host_errors import cache_errors


@dataclass(frozen=True)
class ServiceRecord:
    """A running server, as another process finds it."""

    pid: int
    """Triton's."""
    started: float
    """When Triton's process started, seconds since the epoch; pids are used again."""
    repository: str
    http_url: str
    grpc_url: str
    metrics_url: str
    log_file: str
    container: str = ""
    """Its name, where the server is in one; ``pid`` is then that of its first process."""


_KNOWN = {field.name for field in fields(ServiceRecord)}


def services_folder() -> Path:
    """Where the state files lie."""
    return cache_folder() / "services"


def running_services() -> list[ServiceRecord]:
    """Every service of this user that runs, the newest first; stale state files are removed."""
    records = []
    for file in services_folder().glob("*.json"):
        try:
            told = json.loads(file.read_text())
            # A later nosbuild may tell more.
            record = ServiceRecord(**{key: told[key] for key in told.keys() & _KNOWN})
        except FileNotFoundError:
            continue  # it ended while we looked
        except (ValueError, TypeError, AttributeError):
            # It tells less than any nosbuild does, and cannot be trusted to be running.
            _forget(file)
            continue
        if _is_running(record):
            records.append(record)
        else:
            _forget(file)
    return sorted(records, key=lambda record: record.started, reverse=True)


def service_at(url: str) -> ServiceRecord | None:
    """The service of this machine that listens at a url; None where none of them does."""
    place = _place(url)
    for record in running_services():
        if place in (_place(record.grpc_url), _place(record.http_url)):
            return record
    return None


def _place(url: str) -> str:
    """Host and port, whatever the protocol and TLS."""
    host, colon, port = url.rpartition("://")[2].rstrip("/").rpartition(":")
    return f"{'127.0.0.1' if host == 'localhost' else host}{colon}{port}"


def write_record(record: ServiceRecord) -> None:
    """Makes a service known; its supervisor removes the file.

    Raises:
        HostError: the cache folder cannot be written.
    """
    folder = services_folder()
    with cache_errors():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".", dir=folder)
        with os.fdopen(descriptor, "w") as file:
            told = {key: value for key, value in asdict(record).items() if value != ""}
            json.dump(told, file, indent=1)  # an earlier nosbuild knows of no container
        Path(name).rename(folder / f"{record.pid}.json")


def _forget(file: Path) -> None:
    with suppress(OSError):  # where nothing can be written, who looks next finds it stale again
        file.unlink()


def start_time(pid: int) -> float | None:
    """When the process started, seconds since the epoch; None where it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _is_running(record: ServiceRecord) -> bool:
    # The system's clock ticks are coarse, and the boot time they count from is rounded.
    started = start_time(record.pid)
    return started is not None and abs(started - record.started) < 2.0
