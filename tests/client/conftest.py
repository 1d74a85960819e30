"""One real server for all live tests of the client, on the small models beside this file."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
import speaker

from nosclient import Client
from python_folders import write_class

LOADED = ["echo", "failing", "late", "queue", "scalar", "slow"]
LOADED += ["totals", "totals_ensemble", "totals_short"]


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    from nosbuild import serve

    repository = tmp_path_factory.mktemp("client") / "models"
    shutil.copytree(Path(__file__).parent / "models", repository)
    # The one whose sequences are soon forgotten; those of the others never while a test runs.
    short = shutil.copytree(repository / "totals", repository / "totals_short") / "config.pbtxt"
    config = short.read_text().replace('"totals"', '"totals_short"')
    short.write_text(config.replace("idle_microseconds: 60000000", "idle_microseconds: 200000"))
    # Otherwise one model that does not load, as a test makes one, leaves the server "not ready".
    options = ["--strict-readiness=false"]
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, models=LOADED, triton_options=options, **ports) as running:
        yield running


@pytest.fixture(scope="session")
def speaking_service(tmp_path_factory):
    """A server with a class of several methods that nosbuild built, beside some small models."""
    from nosbuild import serve
    from nosbuild.steps import build

    repository = tmp_path_factory.mktemp("speaking")
    for name in speaker.SMALL:
        shutil.copytree(Path(__file__).parent / "models" / name, repository / name)
    build(write_class(repository / "speaker", speaker.CODE, speaker.YAML, speaker.SAMPLES))
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, announce=False, **ports) as running:
        yield running


@pytest.fixture(params=["grpc", "http"])
def url(request, service):
    return f"grpc://{service.grpc_url}" if request.param == "grpc" else service.http_url


@pytest.fixture
def client(url):
    with Client(url, deadline=30) as client:
        yield client


@pytest.fixture(params=["grpc", "http"])
def dead_url(request):
    """A url at which nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"{request.param}://127.0.0.1:{held.getsockname()[1]}"
