"""What the nosbuild in a container does by itself: it keeps the key, budgets, and updates."""

import time

import numpy as np
import pytest

import nosbuild as nb
from nosbuild.errors import InputError, Refused, RequestError
from nosbuild.runtime.control import ControlRefused
from nosbuild.runtime.docker.images import default_image
from rolling import PORTS, Publisher

GIB = 2**30


def serve(repository, options=None, **more):
    return nb.serve(
        repository, runtime="docker", container=options or nb.ContainerOptions(), **PORTS, **more
    )


def until(holds, seconds=90):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def added(client):
    """What the model adds now."""
    return float(client.run("m", {"x": np.zeros((1, 4), np.float32)})["y"][0, 0])


@pytest.fixture
def publish(tmp_path):
    (tmp_path / "published").mkdir()
    publish = Publisher(tmp_path / "published", tmp_path / "scratch")
    publish("m", 1)
    return publish


@pytest.mark.live
def test_on_demand_only_the_manager_in_the_container_loads(engine, repository):
    with serve(repository, on_demand=True, memory=GIB, models=["adds"]) as service:
        assert service.models() == ["adds"]
        with pytest.raises(ControlRefused, match="nosbuild-manager"):
            service.control.unload("adds", 10)
        told = []
        service.load_model("also", on_progress=told.append)
        assert "also is loaded" in told
        assert service.models() == ["adds", "also"]
        service.unload_model("also")
        assert service.models() == ["adds"]
        assert service.too_large == {}


@pytest.mark.live
def test_options_of_tritonserver_and_the_keys_in_them(engine, repository):
    keys = [
        "--http-restricted-api=model-repository:mine=1",
        "--grpc-restricted-protocol=model-repository:mine=1",
    ]
    with serve(repository, models=["adds"], triton_options=[*keys, "--log-verbose=1"]) as service:
        assert service.models() == ["adds"]
        with service.client() as client:
            assert [model.name for model in client.list_models() if model.state] == ["adds"]
    (container,) = engine.containers.values()
    assert "--triton-option=--log-verbose=1" in container.body["Cmd"]


@pytest.mark.live
def test_new_versions_take_over_by_themselves_or_are_refused(engine, publish):
    options = nb.ContainerOptions(update=True)
    with serve(publish.repository, options) as service, service.client() as client:
        assert added(client) == 1
        publish("m", 2)
        until(lambda: added(client) == 2)
        publish.wrong("m", 3)
        until(lambda: "m: version 3 refused; version 2 stays" in service.log_file.read_text())
        assert added(client) == 2
        assert "relative" in publish.refusal("m", 3)


@pytest.mark.live
def test_load_proves_new_versions_in_the_container(engine, publish):
    with serve(publish.repository) as service, service.client() as client:
        with pytest.raises(RequestError, match="in a container"), nb.watching(service):
            pass
        publish("m", 2)
        time.sleep(3)
        assert added(client) == 1, "nobody asked for updates"
        told = []
        service.load_model("m", on_progress=told.append)
        assert "m: version 2 serves, proven with 1 golden sample in this server" in told
        assert added(client) == 2
        publish.wrong("m", 3)
        with pytest.raises(Refused, match=r"in the container: m: version 3 refused"):
            service.load_model("m")
        assert added(client) == 2


@pytest.mark.live
@pytest.mark.images
def test_a_real_container_that_cannot_write_the_repository(on_podman, publish):
    from stand_in_image import NAME

    options = nb.ContainerOptions(image=NAME, update=True)
    with serve(publish.repository, options) as service, service.client() as client:
        publish("m", 2)
        until(lambda: added(client) == 2)
        publish.wrong("m", 3)
        until(lambda: "m: version 3 refused; version 2 stays" in service.log_file.read_text())
        until(lambda: "the file system is read-only" in service.log_file.read_text())
        assert added(client) == 2


def test_what_the_server_in_the_container_is_told_of_memory(engine, repository):
    engine.add_image(default_image(gpu=True))
    engine.command = ["false"]
    options = nb.ContainerOptions(gpus="all")
    gpu_memory = {0: "20GiB", 1: 3 * GIB}
    with pytest.raises(nb.NosError, match="ended with code 1"):
        serve(repository, options, on_demand=True, memory=GIB, gpu_memory=gpu_memory)
    (container,) = engine.containers.values()
    words = " ".join(container.body["Cmd"])
    assert f"--memory {GIB}B --gpu-memory 0:{20 * GIB}B,1:{3 * GIB}B" in words
    assert "--no-update" in words


@pytest.mark.parametrize(
    "more, message",
    [
        ({"on_demand": True, "gpu_memory": "0:1GiB"}, "this container has none"),
        ({"on_demand": True, "memory": "much"}, "'much' is no size"),
        ({"memory": "1GiB"}, "are budgets for models that are loaded on demand"),
    ],
    ids=str,
)
def test_budgets_that_cannot_be(engine, repository, more, message):
    with pytest.raises(InputError, match=message):
        serve(repository, **more)
    assert not engine.containers
