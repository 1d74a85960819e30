"""``serve --models on-demand`` and the commands beside it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nosbuild.store.folders import CACHE_VARIABLE, cache_folder

pytestmark = pytest.mark.live

MODELS = Path(__file__).parents[1] / "client/models"
NOWHERE = "scaler"


@pytest.fixture(scope="module")
def served(tmp_path_factory, run_in):
    """``nosbuild serve`` in a process of its own: what it printed, and a way to call beside it."""
    folder = tmp_path_factory.mktemp("on_demand")
    for model in ("scalar", "echo"):
        shutil.copytree(MODELS / model, folder / "model_repository" / model)
    environment = {CACHE_VARIABLE: str(cache_folder())}
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    nosbuild = Path(sys.executable).with_name("nosbuild")
    command = [nosbuild, "serve", "--models", "on-demand", "--memory", "1GiB", "--json", *ports]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, "it ended"
            text += line
        told = json.loads(text)

        def beside(*arguments):
            return run_in(folder, *arguments, "--url", told["grpc_url"], **environment)

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


def test_a_server_without_a_manager_says_how_to_have_one(tmp_path, run_in):
    from nosbuild import serve

    shutil.copytree(MODELS / "scalar", tmp_path / "scalar")
    with serve(tmp_path, announce=False, http_port=0, grpc_port=0, metrics_port=0) as service:
        refused = run_in(tmp_path, "pin", "scalar", "--url", service.grpc_url).failed(3)
    assert "nosbuild serve --models on-demand" in refused


def test_a_budget_needs_on_demand(tmp_path, run_in):
    shutil.copytree(MODELS / "scalar", tmp_path / "model_repository/scalar")
    assert "--models on-demand" in run_in(tmp_path, "serve", "--memory", "1GiB").failed(3)
