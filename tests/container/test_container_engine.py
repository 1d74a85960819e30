"""No engine, or one that does not answer, is told with what to do."""

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import nosbuild
from nosbuild.errors import HostError
from nosbuild.runtime.docker.engine import connect_engine
from nosbuild.runtime.docker.packaging import package

pytest.importorskip("docker", reason="pip install 'nosbuild[docker]'")


def test_an_engine_that_answers(engine):
    found = connect_engine()
    assert found.name == "Docker 27.3.1"
    assert found.url == engine.url
    assert found.is_here
    assert not found.is_rootless and not found.has_nvidia


def test_without_the_sdk():
    script = (
        "import sys; sys.modules['docker'] = None\n"
        "from nosbuild.runtime.docker.engine import connect_engine\n"
        "from nosbuild.errors import HostError\n"
        "try: connect_engine()\n"
        "except HostError as error: print(error.remedy)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.strip() == "pip install 'nosbuild[docker]'", ran.stderr


def test_no_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(HostError, match=f"there is no {tmp_path}/none.sock") as caught:
        connect_engine()
    assert "Install Docker" in caught.value.remedy


def test_no_engine_at_all(monkeypatch, tmp_path):
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if Path("/var/run/docker.sock").exists() or Path("/run/podman/podman.sock").exists():
        pytest.skip("this machine has an engine")
    with pytest.raises(HostError, match="no container engine is here"):
        connect_engine()


def test_podmans_socket_is_found_where_docker_has_none(monkeypatch, tmp_path, engine):
    if Path("/var/run/docker.sock").exists():
        pytest.skip("this machine has Docker")
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman/podman.sock").symlink_to(engine.socket)
    assert connect_engine().url == f"unix://{tmp_path}/podman/podman.sock"


def test_a_stopped_engine(tmp_path, monkeypatch):
    path = tmp_path / "stopped.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(HostError, match="is not running") as caught:
        connect_engine()
    assert "systemctl start docker" in caught.value.remedy


def _connect_as_nobody(told):
    if os.getuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    try:
        connect_engine()
        told.send(None)
    except HostError as error:
        told.send((error.message, error.remedy))


def test_no_right_to_ask_the_engine(engine):
    engine.socket.chmod(0)
    for folder in list(engine.socket.parents)[:-2]:
        folder.chmod(0o755)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_connect_as_nobody, args=(there,))
    child.start()
    assert here.poll(60)
    message, remedy = here.recv()
    child.join()
    assert "may not ask the container engine" in message
    assert "usermod -aG docker" in remedy


def test_an_engine_of_another_machine_mounts_nothing_of_ours(engine, monkeypatch, repository):
    monkeypatch.setenv("DOCKER_HOST", engine.remote_url)
    with pytest.raises(HostError, match="is an engine of another machine") as caught:
        nosbuild.serve(repository, runtime="docker")
    assert "nosbuild package" in caught.value.remedy
    assert package(repository, ["adds"], tag="app:1").models == ("adds",)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    with pytest.raises(HostError, match="is not running"):
        connect_engine()
