"""``serve --models on-demand`` and the commands beside it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nosbuild.runtime.model_manager import ask_manager
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder
from nosclient import Client

pytestmark = pytest.mark.live

MODELS = Path(__file__).parents[1] / "client/models"
NOWHERE = "scaler"
NOSBUILD = Path(sys.executable).with_name("nosbuild")
PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


def cache():
    """The one that has Triton in it."""
    return {CACHE_VARIABLE: str(cache_folder())}


@pytest.fixture(scope="module")
def served(tmp_path_factory, run_in):
    """``nosbuild serve`` in a process of its own: what it printed, and a way to call beside it."""
    folder = tmp_path_factory.mktemp("on_demand")
    for model in ("scalar", "echo"):
        shutil.copytree(MODELS / model, folder / "model_repository" / model)
    command = [NOSBUILD, "serve", "--models", "on-demand", "--memory", "1GiB", "--json", *PORTS]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **cache()}, stdout=subprocess.PIPE, text=True
    ) as process:
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, "it ended"
            text += line
        told = json.loads(text)

        def beside(*arguments):
            return run_in(folder, *arguments, "--url", told["grpc_url"], **cache())

        yield told, beside
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_nothing_is_loaded_at_first_and_status_shows_what_is(served):
    told, beside = served
    assert (told["on_demand"], told["models"]) == (True, [])
    shown = beside("status").out
    assert "loaded on demand: 0.0 MiB of 1.00 GiB in use" in shown
    assert "model_manager" not in shown
    beside("run", "scalar", "--random")
    row = beside("status", "--json").json["manager"]["models"]["scalar"]
    assert (row["state"], row["loads"], row["pinned"]) == ("ready", 1, False)
    assert row["bytes"] > 1 << 20
    assert not row["is_estimate"]


def test_pin_and_unpin_load_and_unload(served):
    _, beside = served
    assert beside("load", "scalar").out.splitlines()[-1] == "scalar is loaded"
    assert beside("pin", "scalar").out == "scalar is pinned\n"
    assert "  pinned" in beside("status").out.partition("loaded on demand")[2]
    assert "is pinned: unpin it first" in beside("unload", "scalar").failed(3)
    assert beside("unpin", "scalar").out == "scalar is not pinned\n"
    assert beside("unload", "scalar").out == "scalar is unloaded\n"
    assert beside("status", "--json").json["manager"]["models"]["scalar"]["state"] == "unloaded"


def test_a_typo_is_an_error_with_the_nearest_name(served):
    _, beside = served
    for command in (("pin", NOWHERE), ("unload", NOWHERE), ("run", NOWHERE, "--random")):
        assert "did you mean 'scalar'?" in beside(*command).failed(3)


def test_the_budget_is_shown_and_set(served):
    _, beside = served
    assert " of 1.00 GiB in use" in beside("budget").out
    assert " of 2.00 GiB in use" in beside("budget", "2GiB").out
    assert (
        " of 2.00 GiB in use; 0.0 MiB of 1.00 GiB of GPU 0"
        in beside("budget", "--gpu-memory", "0:1GiB").out
    )
    assert "'lots' is no size" in beside("budget", "lots").failed(3)
    beside("budget", "1GiB")


def test_a_server_without_a_manager_says_how_to_have_one(tmp_path, run_in):
    from nosbuild import serve

    shutil.copytree(MODELS / "scalar", tmp_path / "scalar")
    with serve(tmp_path, announce=False, http_port=0, grpc_port=0, metrics_port=0) as service:
        refused = run_in(tmp_path, "pin", "scalar", "--url", service.grpc_url).failed(3)
    assert "nosbuild serve --models on-demand" in refused


def test_another_process_has_no_key_and_needs_none(served):
    told, beside = served
    assert beside("load", "scalar").out.splitlines()[-1] == "scalar is loaded"
    assert beside("load", "scalar").out.splitlines()[-1] == "scalar is loaded", "anew"
    worker = _worker(told["pid"], "scalar_0")
    os.kill(worker, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(worker)], 10)
    while beside("status", "--json").json["manager"]["models"]["scalar"]["crashes"] == 0:
        pass  # until the manager has noticed
    beside("run", "scalar", "--random")
    row = beside("status", "--json").json["manager"]["models"]["scalar"]
    assert (row["state"], row["crashes"]) == ("ready", 1)
    assert "its worker process was ended by signal 9" in beside("status").out.replace("\n", " ")
    assert beside("scale", "scalar", "--instances", "2").out == "scalar has 2 instances\n"
    assert beside("status", "--json").json["manager"]["models"]["scalar"]["instances"] == 2
    limited = beside("scale", "scalar", "--instances", "1..2").out
    assert limited == "scalar has 2 instances, and may have 1..2\n"
    assert "2 of 1..2" in beside("status").out
    for wrong in ("few", "0", "2..1"):
        assert "such as 1..4" in beside("scale", "scalar", "--instances", wrong).failed(2)


def _worker(triton, instance):
    """The process of the instance."""
    for child in psutil.Process(triton).children():
        if any(word.startswith(instance) for word in child.cmdline()):
            return child.pid
    raise AssertionError(f"{instance} has no worker")


def test_a_budget_that_is_too_small_is_told_with_what_is_needed(served):
    told, beside = served
    with Client(told["grpc_url"]) as client:
        before = ask_manager(client, "budget", timeout=30)["budget_bytes"]
        ask_manager(client, "budget", bytes=1 << 20, timeout=30)
        try:
            for command in (("load", "echo"), ("run", "echo", "--random")):
                refused = beside(*command).failed(3)
                assert "'echo' needs" in refused
                assert "the whole budget is 1.0 MiB" in refused
                assert "give it more: nosbuild budget SIZE" in refused
        finally:
            ask_manager(client, "budget", bytes=before, timeout=30)


def test_a_server_on_which_nothing_can_be_loaded_does_not_start(tmp_path, run_in):
    repository = tmp_path / "model_repository"
    repository.mkdir()
    demanding = ("serve", "--models", "on-demand", "--memory", "1MiB")
    told = run_in(tmp_path, *demanding).failed(3)
    assert "has nothing to serve: no folder in it holds a config.pbtxt" in told
    assert "Build its models first: nosbuild build" in told
    shutil.copytree(MODELS / "scalar", repository / "scalar")
    shutil.copytree(MODELS / "echo", repository / "echo")
    (repository / "echo/1/weights").write_bytes(bytes(1 << 20))
    told = run_in(tmp_path, *demanding, **cache()).failed(3)
    smallest = r"no model fits in 1\.0 MiB of memory: the smallest, 'scalar', needs about 32\.0 MiB"
    assert re.search(smallest, told)
    assert "--memory SIZE" in told


def test_a_model_that_the_budget_can_never_hold_is_named_at_the_start(tmp_path):
    for model in ("scalar", "echo"):
        shutil.copytree(MODELS / model, tmp_path / "model_repository" / model)
    (tmp_path / "model_repository/echo/1/weights").write_bytes(bytes(16 << 20))
    command = [NOSBUILD, "serve", "--models", "on-demand", "--memory", "40MiB", *PORTS]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **cache()}, stdout=subprocess.PIPE, text=True
    ) as process:
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert "Triton loads on demand, in 40.0 MiB: scalar\n" in shown
    assert "  echo is too large for the budget: it needs about 48.0 MiB (--memory)\n" in shown


def test_a_budget_needs_on_demand(tmp_path, run_in):
    shutil.copytree(MODELS / "scalar", tmp_path / "model_repository/scalar")
    assert "--models on-demand" in run_in(tmp_path, "serve", "--memory", "1GiB").failed(3)
