"""Real containers of podman: what a user has with ``nosbuild serve --runtime docker``."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from add_one_model import write_add_one
from stand_in_image import NAME as STAND_IN

import nosbuild as nb
from nosbuild.errors import HostError
from nosbuild.runtime.docker.packaging import package
from nosbuild.steps import build
from nosclient import Client, ServerError
from python_folders import write_class

docker = pytest.importorskip("docker", reason="pip install 'nosbuild[docker]'")
pytestmark = [pytest.mark.live, pytest.mark.images]
FREE = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}

CODE = """
class Speaks:
    def __call__(self, text: str) -> str:
        import iniconfig
        return f"{text} {iniconfig.__name__}"
"""
YAML = """
source: {python: "model.py:Speaks"}
samples: "samples.py:texts"
requirements: [iniconfig]
"""
SAMPLES = """
def texts():
    return [{"text": "a"}, {"text": "b"}]
"""


def serve(repository, **options):
    return nb.serve(
        repository,
        runtime="docker",
        container=nb.ContainerOptions(image=STAND_IN, **options),
        **FREE,
    )


def containers(url):
    client = docker.DockerClient(base_url=url)
    try:
        return [each.name for each in client.containers.list(all=True)]
    finally:
        client.close()


def asks(service, model="adds"):
    with service.client() as client:
        return client.run(model, {"x": np.ones((2, 4), np.float32)})["y"]


def test_a_real_container_serves_a_mounted_repository(on_podman, repository):
    with serve(repository) as service:
        assert service.models() == ["adds", "also"]
        np.testing.assert_array_equal(asks(service), np.full((2, 4), 2, np.float32))
        code, user = service.container.exec_run(["id", "-u"])
        assert (code, user.strip()) == (0, b"1000")
        code, told = service.container.exec_run(["mkdir", "/models/new"])
        assert code and b"Read-only" in told
        write_add_one(repository / "new")
        service.load_model("new")
        np.testing.assert_array_equal(asks(service, "new"), np.full((2, 4), 2, np.float32))
        service.unload_model("adds")
        assert service.models() == ["also", "new"]
        assert "Started HTTPService" in service.log_file.read_text()
    assert not service.is_running
    assert not containers(on_podman)


def test_models_on_demand_in_a_container(on_podman, repository):
    with nb.serve(
        repository,
        runtime="docker",
        container=nb.ContainerOptions(image=STAND_IN),
        on_demand=True,
        memory="1GiB",
        **FREE,
    ) as service:
        assert service.models() == []
        service.load_model("also")
        assert service.models() == ["also"]
        assert asks(service, "also").shape == (2, 4)
        _, commands = service.container.exec_run(["sh", "-c", "cat /proc/[0-9]*/cmdline"])
        keys = re.findall(rb"model-repository:nosbuild-manager=([^\0]*)", commands)
        assert len(keys) == 2 and not any(key.strip(b"*") for key in keys), "hidden there, too"


def test_shared_memory_with_clients_of_this_machine(on_podman, repository):
    write_add_one(repository / "wide", width=1 << 16)
    x = {"x": np.ones((8, 1 << 16), np.float32)}
    # The memory that a client makes is its user's alone, and here that is root.
    with (
        serve(repository, ipc="host", user="0") as service,
        service.client(shared_memory="system") as client,
    ):
        np.testing.assert_array_equal(client.run("wide", x)["y"], x["x"] + 1)
        assert client.transport.kind == "system"
    with serve(repository) as service:
        with service.client(shared_memory="system") as client, pytest.raises(ServerError):
            client.run("wide", x)
        with service.client(shared_memory="auto") as client:
            np.testing.assert_array_equal(client.run("wide", x)["y"], x["x"] + 1)
            assert client.transport.kind == "wire"


def test_ctrl_c_leaves_nothing(on_podman, repository):
    script = "from nosbuild.cli import main; main()"
    command = [sys.executable, "-c", script, "serve", str(repository), "--runtime", "docker"]
    ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics")]
    with subprocess.Popen(
        [*command, "--image", STAND_IN, *ports], stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        assert "Triton serves adds, also" in line
        assert len(containers(on_podman)) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not containers(on_podman)


def test_an_image_that_is_nowhere(on_podman, repository):
    with pytest.raises(HostError, match=r"podman .* has no image nosbuild/server:cpu-") as caught:
        nb.serve(repository, runtime="docker")
    assert "docker build -f docker/cpu.Dockerfile" in caught.value.remedy


def test_gpus_that_podman_passes_over(on_podman, repository):
    with pytest.raises(HostError, match="passes over the request for GPUs"):
        serve(repository, gpus="all")
    assert not containers(on_podman)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    """A repository with a class that needs a package."""
    folder = tmp_path_factory.mktemp("speaking") / "models"
    build(write_class(folder / "speaks", CODE, YAML, SAMPLES))
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def test_environments_are_made_in_the_container(on_podman, speaking):
    place = next((speaking / "speaks/environments").iterdir())
    target = place.readlink()
    with serve(speaking) as service, service.client() as client:
        answer = client.run("speaks", {"text": ["hello"]})["output"]
        assert answer.tolist() == [[b"hello iniconfig"]]
    assert place.readlink() == target, "ours leads where it led"


def test_a_packaged_image_needs_nothing_of_this_machine(on_podman, speaking):
    write_add_one(speaking / "adds")
    made = package(speaking, ["speaks"], tag="localhost/app:1", image=STAND_IN)
    assert made.models == ("speaks",)
    client = docker.DockerClient(base_url=on_podman)
    labels = client.images.get("localhost/app:1").labels
    assert labels["nosbuild.repository.lock"] == made.lock
    assert labels["nosbuild.repository.models"] == "speaks:1"
    container = client.containers.run(
        "localhost/app:1", detach=True, shm_size="512m", ports={"8001/tcp": ("127.0.0.1", None)}
    )
    try:
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"]["8001/tcp"][0]["HostPort"]
        with Client(f"127.0.0.1:{port}") as asking:
            asking.wait_until_ready(timeout=60)
            answer = asking.run("speaks", {"text": ["packed"]})["output"]
        assert answer.tolist() == [[b"packed iniconfig"]]
        code, told = container.exec_run(["cat", "/models/adds/config.pbtxt"])
        assert code, "a model that was not named is not in it"
        assert os.fsencode("No such file") in told
    finally:
        container.remove(force=True)
        client.close()
