"""Engines for the tests of containers: one of processes, and podman's where it is installed."""

from __future__ import annotations

import os
import subprocess

import pytest
import stand_in_image
from add_one_model import write_add_one
from mini_engine import MiniEngine
from podman_engine import podman_service

from nosbuild.runtime.docker.images import default_image
from nosbuild.store.folders import cache_folder


@pytest.fixture
def repository(tmp_path):
    """Two models that any user may read."""
    folder = tmp_path / "models"
    for name in ("adds", "also"):
        write_add_one(folder / name)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def inner_cache(tmp_path_factory):
    """The cache of what runs in "containers": apart from ours, but for the server itself."""
    folder = tmp_path_factory.mktemp("inner")
    for name in ("server", "backends"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(cache_folder() / name)
    return folder


@pytest.fixture
def engine(tmp_path_factory, monkeypatch, inner_cache):
    """An engine of processes, at which DOCKER_HOST points, with our image for the CPU."""
    pytest.importorskip("docker", reason="pip install 'nosbuild[docker]'")
    folder = tmp_path_factory.mktemp("engine")
    monkeypatch.setenv("MINI_ENGINE_CACHE", str(inner_cache))
    with MiniEngine(folder / "engine.sock", folder) as running:
        running.add_image(default_image(gpu=False))
        monkeypatch.setenv("DOCKER_HOST", running.url)
        yield running


@pytest.fixture
def nosbuild(command_line, tmp_path):
    """Runs ``nosbuild ARGUMENTS``."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return command_line.run(*arguments, cwd=tmp_path, env=os.environ)

    return run


@pytest.fixture(scope="session")
def podman(tmp_path_factory):
    """The url of podman's service, which has ``stand_in_image.NAME``."""
    docker = pytest.importorskip("docker", reason="pip install 'nosbuild[docker]'")
    with podman_service(tmp_path_factory.mktemp("podman")) as url:
        root = tmp_path_factory.mktemp("root") / "root.tar"
        stand_in_image.write_root(root)
        client = docker.DockerClient(base_url=url, version="auto", timeout=600)
        repository, _, tag = stand_in_image.NAME.rpartition(":")
        name, shell = stand_in_image.NAME, "/bin/sh"
        try:
            client.api.import_image(
                str(root), repository=repository, tag=tag, changes=stand_in_image.CHANGES
            )
            client.api.tag(repository, repository, tag)  # podman's service takes no tag there
            client.containers.run(name, ["-c", "true"], entrypoint=shell, remove=True)
        except docker.errors.APIError as error:
            pytest.skip(f"podman runs no container here: {error.explanation}")
        finally:
            root.unlink()
            client.close()
        yield url


@pytest.fixture
def on_podman(podman, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", podman)
    return podman
