"""On a server on demand only the model manager loads and unloads; all else goes through it."""

import asyncio
import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

import managed_models
import psutil
import pytest
import tiny_models
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from nosbuild.errors import RequestError
from nosbuild.runtime import serve
from nosbuild.runtime.control import ControlRefused
from nosbuild.runtime.model_manager import ask_manager
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
)

X = [[1.0]]
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return managed_models.repository(tmp_path_factory.mktemp("kept"), ["a", "b"])


@pytest.fixture(scope="module")
def service(repository):
    with serve(repository, on_demand=True, memory="1GiB", **PORTS) as running:
        yield running


@pytest.fixture(params=["grpc", "http"])
def client(request, service):
    """One that was never told a key."""
    url = service.grpc_url if request.param == "grpc" else service.http_url
    with Client(url, deadline=30) as client:
        yield client


@pytest.fixture
def ask(service):
    with service.client() as owner:

        def asked(operation, **more):
            return ask_manager(owner, operation, timeout=30, **more)

        yield asked
        asked("unpin", model="a")


def states(client):
    return {row.name: row.state for row in client.list_models()}


def test_nobody_loads_past_the_manager(service):
    for path in ("index", "models/a/load", "models/a/unload"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{service.http_url}/v2/repository/{path}", b"{}", timeout=30)
        with caught.value as answer:
            assert (answer.code, "is restricted" in json.load(answer)["error"]) == (403, True)
    with tritonclient.grpc.InferenceServerClient(service.grpc_url) as stranger:
        for ask in (stranger.load_model, stranger.unload_model):
            with pytest.raises(InferenceServerException, match="is restricted"):
                ask("a")
    assert "a" not in service.models()


def test_its_key_is_shown_nowhere(service):
    (key,) = service.restrictions.http.values()
    assert service.restrictions.grpc == service.restrictions.http
    assert key not in str(psutil.Process(service.pid).cmdline())
    assert key not in f"{service!r} {vars(service)!r} {service.control!r}"
    assert key not in service.log_file.read_text()
    with service.client() as owner:
        assert key not in f"{owner!r} {vars(owner)!r}"


def test_a_client_without_the_key_sees_loads_and_unloads_through_the_manager(client, ask):
    before = ask("status")["models"]["a"]["loads"]
    assert states(client)["model_manager"] == "READY"
    client.load_model("a")
    assert states(client)["a"] == "READY"
    client.load_model("a")
    assert ask("status")["models"]["a"]["loads"] == before + 2, "the second time: anew"
    assert client.get_model_info("a").state == "READY"
    assert client.model("a").name == "a"
    client.unload_model("a")
    assert states(client)["a"] == "UNAVAILABLE"
    with pytest.raises(DeadlineExceeded, match=r"it is not loaded$"):
        client.wait_until_ready(0.3, model="a")


def test_what_the_manager_refuses_is_an_error_with_what_helps(client, ask):
    client.load_model("twice")
    with pytest.raises(
        InvalidInput, match=r"^model 'first' is called by twice: unload that first$"
    ):
        client.unload_model("first")
    client.unload_model("twice")
    ask("pin", model="a")
    client.load_model("a")
    with pytest.raises(InvalidInput, match=r"^model 'a' is pinned: unpin it first$"):
        client.unload_model("a")
    ask("unpin", model="a")
    with pytest.raises(ModelNotFound, match="there is no model 'bb'"):
        client.unload_model("bb")
    with pytest.raises(ModelNotFound, match=r"there is no model 'bb'; did you mean 'b'\?"):
        client.load_model("bb")
    with pytest.raises(ModelLoadFailed, match=r"^model 'broken' does not load: .*no weights here"):
        client.load_model("broken")
    with pytest.raises(DeadlineExceeded):
        client.load_model("b", deadline=0.05)
    ask("budget", bytes=managed_models.MIB)
    try:
        with pytest.raises(ModelNotReady, match=r"the whole budget is 1\.0 MiB; give it more"):
            client.load_model("b")
    finally:
        ask("budget", bytes=1 << 30)


def test_a_model_that_was_built_since_the_start_is_to_be_made_known(repository, client):
    tiny_models.slow(repository, managed_models.CODE, "late")
    try:
        for ask in (client.load_model, lambda name: client.run(name, {"x": X})):
            with pytest.raises(ModelNotFound, match=r"not know 'late'.*'nosbuild load late' makes"):
                ask("late")
    finally:
        shutil.rmtree(repository / "late")


def test_the_asynchronous_client_does_the_same(service, ask):
    async def run():
        async with AsyncClient(service.grpc_url, deadline=30) as client:
            await client.load_model("b")
            with pytest.raises(InvalidInput, match="is pinned"):
                await client.unload_model("a")
            loaded = states_of(await client.list_models())
            await client.unload_model("b")
            return loaded, states_of(await client.list_models())

    def states_of(rows):
        return {row.name: row.state for row in rows}

    ask("pin", model="a")
    loaded, unloaded = asyncio.run(run())
    assert (loaded["b"], unloaded["b"]) == ("READY", "UNAVAILABLE")


def test_of_several_servers_each_loads_in_its_own_way(service, repository):
    with serve(repository, models=["a"], announce=False, **PORTS) as plain:
        plain.unload_model("a")
        for urls in (
            [service.grpc_url, plain.grpc_url],
            [plain.http_url, service.http_url],
        ):
            with Client(urls, deadline=30) as client:
                client.load_model("a")
                assert all("a" in server.models() for server in (service, plain))
                for _ in range(4):  # whichever is asked
                    assert states(client)["a"] == "READY"
                client.unload_model("a")
                assert not any("a" in server.models() for server in (service, plain))


def test_a_manager_that_is_away_is_told_apart_from_a_server_without_one(service, client):
    assert "a" in states(client)
    service.control.unload("model_manager", 30)
    with Client(service.http_url, deadline=30) as new:
        for one in (client, new):
            for ask in (one.list_models, lambda c=one: c.load_model("a")):
                with pytest.raises(ModelNotReady, match=r"model manager.*is not ready"):
                    ask()
    while "UNLOADING" in {row.state for row in service.control.index()}:
        pass
    service.control.load("model_manager", 30)
    assert "a" in states(client)


def test_a_manager_whose_worker_ended_is_back_by_itself_and_knows_what_it_knew(
    service, client, ask
):
    client.load_model("a")
    ask("pin", model="a")
    loads = ask("status")["models"]["a"]["loads"]
    for _ in range(2):
        # One that ends just when it has answered, holding a lock that it shares with Triton 2.51,
        # takes Triton with it.
        time.sleep(1.5)
        worker = _worker_of_the_manager(service)
        worker.kill()
        assert client.run("a", {"x": X})["y"].tolist() == [[2.0]], "what is loaded goes on"
        psutil.wait_procs([worker], 10)
        end = time.monotonic() + 60
        while True:
            try:
                assert states(client)["a"] == "READY"
                client.load_model("b")
                break
            except ModelNotReady as error:  # no other error meanwhile
                assert "model manager" in error.message and "ask again in 1 s" in error.message
                assert time.monotonic() < end
                time.sleep(0.02)
        row = ask("status")["models"]["a"]
        assert (row["state"], row["pinned"], row["loads"]) == ("ready", True, loads)
        client.unload_model("b")


def _worker_of_the_manager(service):
    (worker,) = (
        child
        for child in psutil.Process(service.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE
        and any(word.startswith("model_manager_") for word in child.cmdline())
    )
    return worker


def test_the_owner_goes_through_the_manager_too(service, ask):
    ask("pin", model="a")
    with service.client(deadline=30) as owner:
        owner.load_model("a")
        with pytest.raises(InvalidInput, match="is pinned"):
            owner.unload_model("a")
    with pytest.raises(RequestError, match="is pinned"):
        service.unload_model("a")


def _folder(service):
    command = psutil.Process(service.pid).cmdline()
    folders = [word.partition("=")[2] for word in command if word.startswith("--model-repository")]
    return Path(folders[-1]) / "model_manager"


def test_a_second_manager_in_the_same_server_is_refused(service, repository, client):
    first = _folder(service)
    second = repository / "boss"
    shutil.copytree(first, second)
    config = (second / "config.pbtxt").read_text()
    (second / "config.pbtxt").write_text(config.replace('"model_manager"', '"boss"'))
    try:
        with pytest.raises(ControlRefused) as caught:
            service.control.load("boss", 30)
    finally:
        shutil.rmtree(second)
    assert f"this server has a model manager already, that of {first}, and {second}" in str(
        caught.value
    )
    client.load_model("a")  # the first goes on
    assert states(client)["a"] == "READY"


def test_a_manager_of_two_instances_is_refused_and_one_takes_its_own_place(service, client):
    config = _folder(service) / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace("count: 1", "count: 2"))
    try:
        with pytest.raises(ControlRefused, match=r"is to have 2 instances, and must have one"):
            service.control.load("model_manager", 30)
        assert "a" in states(client), "the old one stays"
    finally:
        config.write_text(text)
    service.control.load("model_manager", 30)  # while the old one still runs
    assert "a" in states(client)
    client.load_model("a")
