"""A server that loads on demand, as its callers meet it: a real Triton, real worker processes."""

import asyncio
import json
import re
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import managed_models
import psutil
import pytest

from nosbuild.errors import InputError, RepositoryError, RequestError
from nosbuild.runtime import serve
from nosbuild.runtime.model_manager import ask_manager
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
)

X = [[1.0]]
NAMES = ["a", "b", "c", "over_grpc", "over_http", "asked", "crowd", "plain"]
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


@pytest.fixture(scope="module")
def demanding(tmp_path_factory):
    """Loads on demand; nothing is loaded at first."""
    repository = managed_models.repository(tmp_path_factory.mktemp("managed"), NAMES)
    with serve(repository, on_demand=True, memory="2GiB", **PORTS) as running:
        assert running.models() == []
        yield running


@pytest.fixture(scope="module")
def client(demanding):
    with Client(demanding.grpc_url, deadline=30) as client:
        yield client


@pytest.fixture(scope="module")
def http(demanding):
    with Client(demanding.http_url, deadline=30) as client:
        yield client


@pytest.fixture
def ask(client):
    """Asks the manager; afterwards nothing is pinned, and there is room for all."""

    def asked(operation, **more):
        return ask_manager(client, operation, timeout=30, **more)

    yield asked
    asked("budget", bytes=2 << 30)
    for name, row in asked("status")["models"].items():
        if row["pinned"]:
            asked("unpin", model=name)


def plain(service, **request):
    """What any program can send: one inference over HTTP, of urllib."""
    tensor = {"name": "request", "shape": [1], "datatype": "BYTES", "data": [json.dumps(request)]}
    url = f"{service.http_url}/v2/models/model_manager/infer"
    body = json.dumps({"inputs": [tensor]}).encode()
    with urllib.request.urlopen(url, body, timeout=60) as answer:
        return json.loads(json.load(answer)["outputs"][0]["data"][0])


def refused(service, **request):
    """Status and text of a plain request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        plain(service, **request)
    with caught.value as answer:
        return answer.code, json.load(answer)["error"]


def loads_in_log(service, model):
    """Of its one instance; Triton says "loading", too, where it finds nothing to do."""
    started = rf"ModelInstanceInitialize: {model}(_\d+)+ "
    return len(re.findall(started, service.log_file.read_text()))


def doubled(client, model):
    return client.run(model, {"x": X})["y"].tolist() == [[2.0]]


def unload(service, names):
    """All at once: each takes Triton a second."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(service.unload_model, names))


def together(number, work):
    """The results of threads that begin at the same moment."""
    barrier = threading.Barrier(number)

    def begin(position):
        barrier.wait()
        return work(position)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def test_the_first_request_loads_its_model(demanding):
    with Client(demanding.grpc_url) as grpc, Client(demanding.http_url) as http:  # new ones
        assert doubled(grpc, "over_grpc")
        assert doubled(http, "over_http")
        assert http.get_model_info("asked").state == "READY"
        assert {"over_grpc", "over_http", "asked"} <= set(demanding.models())
        assert "model_manager" not in demanding.models()
        # Its signature is known from here on: what fails next is the inference itself.
        for version in ("", 1):
            assert grpc.run("over_grpc", {"x": X}, version=version)["y"].tolist() == [[2.0]]
            unload(demanding, ["over_grpc", "over_http"])
            assert grpc.run("over_grpc", {"x": X}, version=version)["y"].tolist() == [[2.0]]
            assert http.run("over_http", {"x": X}, version=version)["y"].tolist() == [[2.0]]


def test_the_asynchronous_client_does_the_same(demanding):
    demanding.load_model("asked")
    demanding.unload_model("asked")

    async def run():
        async with AsyncClient(demanding.grpc_url, deadline=30) as client:
            return await asyncio.gather(*(client.run("asked", {"x": X}) for _ in range(8)))

    assert [answer["y"].tolist() for answer in asyncio.run(run())] == [[[2.0]]] * 8
    assert loads_in_log(demanding, "asked") == 2


def test_a_hundred_threads_are_one_load(demanding, ask):
    with Client(demanding.grpc_url, deadline=60) as client:
        assert all(together(100, lambda _: doubled(client, "crowd")))
    assert loads_in_log(demanding, "crowd") == 1
    assert ask("status")["models"]["crowd"]["loads"] == 1


def test_a_hundred_plain_requests_over_http_are_one_load(demanding):
    answers = together(100, lambda _: plain(demanding, operation="ensure", model="plain"))
    assert {answer["state"] for answer in answers} == {"ready"}
    assert loads_in_log(demanding, "plain") == 1
    code, text = refused(demanding, operation="ensure", model="plein")
    assert (code, text) == (404, "there is no model 'plein'; did you mean 'plain'?")
    code, text = refused(demanding, operation="explode")
    assert (code, text.partition(";")[0]) == (400, "operation is 'explode'")


def test_a_pipeline_is_loaded_with_its_parts(demanding, client, ask):
    assert client.run("twice", {"x": X})["y"].tolist() == [[4.0]]
    assert {"twice", "first", "second"} <= set(demanding.models())
    with pytest.raises(RequestError, match="'first' is called by twice: unload that first"):
        demanding.unload_model("first")
    demanding.unload_model("twice")


def test_a_stream_loads_its_model_each_time(demanding, client):
    for _ in range(2):  # the second time its signature is known
        chunks = [chunk["y"].item() for chunk in client.stream("ticker", {"x": X})]
        assert chunks == [1.0, 2.0, 3.0]
        demanding.unload_model("ticker")


@pytest.fixture(params=["grpc", "http"])
def either(request, client, http):
    return client if request.param == "grpc" else http


def test_a_typo_is_told_apart(either):
    for ask in (
        lambda: either.run("over_htp", {"x": X}),
        lambda: either.get_model_info("over_htp"),
    ):
        with pytest.raises(ModelNotFound, match=r"no model 'over_htp'; .*did you mean 'over_http'"):
            ask()


def test_a_model_that_does_not_load_is_told_with_its_reason(demanding, either):
    for more in ("", "; it is not tried again for"):  # over HTTP, it was tried a moment ago
        with pytest.raises(ModelLoadFailed, match=f"^model 'broken' does not.*no weights.*{more}"):
            either.run("broken", {"x": X})
    tried = loads_in_log(demanding, "broken")
    with pytest.raises(ModelLoadFailed, match="it is not tried again"):
        either.run("broken", {"x": X})
    assert loads_in_log(demanding, "broken") == tried
    with pytest.raises(RepositoryError, match="'broken' does not load: KeyError"):
        demanding.load_model("broken")  # asked for by its owner it is tried
    assert loads_in_log(demanding, "broken") == tried + 1


def test_the_deadline_bounds_the_load(demanding, client):
    demanding.load_model("over_grpc")
    demanding.unload_model("over_grpc")
    with pytest.raises(DeadlineExceeded):
        client.run("over_grpc", {"x": X}, deadline=0.05)
    assert doubled(client, "over_grpc"), "who gave up blocks nobody"


def test_what_does_not_fit_goes_and_what_is_pinned_stays(demanding, client, http, ask):
    unload(demanding, demanding.models())
    for name in ("a", "b"):
        assert doubled(client, name)
    used = ask("status")["used_bytes"]
    assert used > 2 * 24 * managed_models.MIB
    measured = sum(
        child.memory_full_info().pss
        for child in psutil.Process(demanding.pid).children()
        if {"a_0", "b_0"} & set(child.cmdline())
    )
    assert used == pytest.approx(measured, rel=0.2)
    ask("budget", bytes=used + used // 4)
    ask("pin", model="a")
    evicted = ask("status")["models"]["b"]["evictions"]
    assert doubled(client, "c")
    models = ask("status")["models"]
    assert [models[name]["state"] for name in "abc"] == ["ready", "unloaded", "ready"]
    assert models["b"]["evictions"] == evicted + 1
    with pytest.raises(RequestError, match="'a' is pinned: unpin it first"):
        demanding.unload_model("a")
    ask("pin", model="c")
    with pytest.raises(
        ModelNotReady, match=r"RESOURCE_EXHAUSTED: no room for model 'b'.*unpin what may go"
    ):
        client.run("b", {"x": X})
    with pytest.raises(ModelNotReady, match=r"^RESOURCE_EXHAUSTED: no room for model 'b'"):
        http.run("b", {"x": X})
    ask("budget", bytes=managed_models.MIB)
    with pytest.raises(ModelNotReady, match=r"needs \d+\.\d MiB, and the whole budget is 1\.0 MiB"):
        client.run("b", {"x": X})


def test_more_models_than_fit_in_use_at_once(demanding, client, ask):
    for name in ("a", "b", "c"):
        assert doubled(client, name)
    sizes = {name: ask("status")["models"][name]["bytes"] for name in "abc"}
    budget = int(2.5 * max(sizes.values()))
    unload(demanding, set(demanding.models()) - {"a", "b"})
    ask("budget", bytes=budget)
    end = time.monotonic() + 6
    used = []

    def ask_them(position):
        answered = 0
        while time.monotonic() < end:
            assert doubled(client, "abc"[(answered // 20 + position) % 3])
            answered += 1
            if position == 0:
                used.append(ask("budget")["used_bytes"])
        return answered

    before = {name: ask("status")["models"][name]["evictions"] for name in "abc"}
    assert all(together(6, ask_them))
    after = ask("status")["models"]
    assert sum(after[name]["evictions"] - before[name] for name in "abc") >= 1
    assert max(used) <= budget


def test_a_manager_that_is_loaded_again_knows_what_is_loaded(tmp_path):
    # A server of its own: see docs/15-model-manager.md for requests that were cancelled before.
    repository = managed_models.repository(tmp_path, ["a", "b"])
    with (
        serve(repository, on_demand=True, memory="1GiB", **PORTS) as service,
        Client(service.grpc_url, deadline=30) as client,
    ):
        assert doubled(client, "a")
        assert doubled(client, "b")
        ask_manager(client, "pin", model="a", timeout=30)
        ask_manager(client, "budget", bytes=900 * managed_models.MIB, timeout=30)
        service.unload_model("b")
        before = ask_manager(client, "status", timeout=30)
        _load_manager_again(service)
        after = ask_manager(client, "status", timeout=30)
        for name, row in before["models"].items():
            kept = ("state", "pinned", "loads", "evictions")
            assert [after["models"][name][key] for key in kept] == [row[key] for key in kept]
        assert after["budget_bytes"] == 900 * managed_models.MIB
        assert after["used_bytes"] == pytest.approx(before["used_bytes"], rel=0.2)
        # Somebody who has the key unloads one past the manager.
        service.control.unload("a", 30)
        assert doubled(client, "a")


def _load_manager_again(service):
    service.control.unload("model_manager", 30)
    end = time.monotonic() + 30
    while any(
        row.name == "model_manager" and row.state in ("READY", "UNLOADING")
        for row in service.control.index()
    ):
        assert time.monotonic() < end
        time.sleep(0.02)
    service.control.load("model_manager", 30)


def test_named_models_are_loaded_at_the_start_and_pinned_and_nothing_is_left(tmp_path):
    repository = managed_models.repository(tmp_path / "models", ["a"])
    with serve(repository, models=["a"], on_demand=True, memory="1GiB", **PORTS) as service:
        assert service.models() == ["a"]
        (folder,) = _managers(service)
        assert (folder / "model_manager/config.pbtxt").is_file()
        with Client(service.http_url) as client:
            assert ask_manager(client, "status", timeout=30)["models"]["a"]["pinned"]
    assert not folder.exists()


def _managers(service):
    command = psutil.Process(service.pid).cmdline()
    folders = [word.partition("=")[2] for word in command if word.startswith("--model-repository")]
    return [Path(folder) for folder in folders[2:]]


def test_a_model_of_the_managers_name_and_a_budget_without_a_manager_are_refused(tmp_path):
    managed_models.repository(tmp_path, ["model_manager"])
    with pytest.raises(RepositoryError, match=r"has a model 'model_manager'.*\nRename its folder"):
        serve(tmp_path, on_demand=True)
    with pytest.raises(InputError, match=r"on_demand=True"):
        serve(tmp_path, memory="1GiB")
    others = managed_models.repository(tmp_path / "others", ["a"])
    with pytest.raises(InputError, match="'lots' is no size"):
        serve(others, on_demand=True, memory="lots")
