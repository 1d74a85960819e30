"""A transport and a server go in; a caller over it, or why it cannot be tried, come out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from nosbuild.plan.gpus import NoGpu, gpus
from nosbuild.prove.callers import Caller, ClientCaller, StreamCaller
from nosbuild.prove.proof import Transport
from nosbuild.prove.published import PublishedVersion
from nosbuild.prove.replay import in_flight
from nosbuild.prove.wire import answer_to, request_of

TRANSPORTS: tuple[Transport, ...] = ("HTTP", "gRPC", "shared memory")


class Server(Protocol):
    """A running Triton on this machine: an InferenceService, or the record of one."""

    @property
    def http_url(self) -> str:
        """``http://127.0.0.1:8000``."""

    @property
    def grpc_url(self) -> str:
        """``127.0.0.1:8001``."""

    @property
    def log_file(self) -> Path | str:
        """Triton's log."""


def _region_bytes(published: PublishedVersion) -> int:
    from nosbuild.prove.shared_memory import bytes_needed

    return max(
        bytes_needed(request_of(published, index), answer_to(published, index))
        for index in range(len(published.samples))
    )


def hindrance(published: PublishedVersion, transport: Transport) -> str:
    """Why a transport cannot be tried here; empty where it can."""
    if published.streams and transport != "gRPC":
        return f"{published.name} streams its answers, which travel over gRPC alone"
    if transport != "shared memory":
        return ""
    from nosbuild.prove.shared_memory import FOLDER, free_bytes

    needed, free = in_flight(published) * _region_bytes(published), free_bytes()
    if needed > free:
        return f"{needed / 1e6:.0f} MB are needed, {FOLDER} has {free / 1e6:.0f} MB free"
    return ""


def cuda_hindrance() -> str:
    """Why CUDA shared memory is not tried."""
    found = gpus()
    return found.reason if isinstance(found, NoGpu) else "only system shared memory is tried"


def caller_over(
    published: PublishedVersion, server: Server, transport: Transport, deadline: float
) -> Caller:
    """A caller of the version; close it.

    Args:
        published: whose requests it sends.
        server: which has loaded it.
        transport: how they travel.
        deadline: seconds for each.
    """
    if transport == "shared memory":
        from nosbuild.prove.shared_memory import SharedMemoryCaller

        return SharedMemoryCaller(
            server.grpc_url,
            published.name,
            published.version,
            deadline,
            regions=in_flight(published),
            size=_region_bytes(published),
        )
    url = server.http_url if transport == "HTTP" else server.grpc_url
    kind = StreamCaller if published.streams else ClientCaller
    return kind(url, published.name, published.version, deadline)
