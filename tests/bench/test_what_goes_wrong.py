"""Loads that cannot be, models that cannot be measured, servers and processes that end."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from bench_models import small_server

from nosbuild.bench import Level, bench
from nosbuild.errors import HostError, RequestError
from nosclient import ModelNotFound, ModelNotReady, ServerUnavailable

pytestmark = pytest.mark.live


@pytest.mark.parametrize("level", [Level(concurrency=2), Level(rate=50)])
def test_a_server_that_is_gone_in_the_middle(tmp_path, level):
    with small_server(tmp_path) as own:
        thread = threading.Timer(1.0, os.kill, (own.pid, signal.SIGKILL))
        options = {"duration": 60, "warmup": 0.0, "on_progress": lambda _: thread.start()}
        found = bench(own.grpc_url, "small", [level, level], **options)
        thread.join()
    (measured,) = found.levels  # the second one was not begun
    assert measured.answered > 0
    assert "ServerUnavailable" in measured.failed
    assert level.name in found.failure
    assert measured.server is None
    assert measured.seconds < 30  # the rate is that of a server that was there
    assert (measured.unsent > 0) == level.is_open


def test_a_model_that_is_unloaded_in_the_middle(tmp_path):
    with small_server(tmp_path) as own, own.client() as client:
        thread = threading.Timer(1.0, client.unload_model, ("small",))
        options = {"duration": 3, "warmup": 0.0, "on_progress": lambda _: thread.start()}
        found = bench(own.grpc_url, "small", [Level(concurrency=2)], **options)
        thread.join()
    (level,) = found.levels
    assert level.answered > 0
    assert level.failed["ModelNotReady"].count > 0
    assert level.server is None
    assert "counters" in level.notes[0]


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("ticker", {}, "streams"),
        ("totals", {}, "state"),
        ("linear", {"batch": 10_000}, "at most"),
        ("linear", {"batch": 0}, "0 items"),
        ("linear", {"duration": -1.0}, "duration of -1 s"),
        ("linear", {"duration": float("nan")}, "duration"),
        ("linear", {"warmup": -1.0}, "warm-up"),
        ("linear", {"processes": 0}, "processes"),
    ],
)
def test_what_cannot_be_measured(measure, model, options, says):
    with pytest.raises(RequestError, match=says) as caught:
        measure(model, Level(concurrency=1), **options)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "level",
    [Level(), Level(concurrency=-1), Level(concurrency=10**6), Level(rate=-5.0), Level(rate=0.1)],
)
def test_loads_that_cannot_be(measure, level):
    with pytest.raises(RequestError) as caught:
        measure("linear", level)
    assert caught.value.remedy


def test_models_and_servers_that_are_not_there(measure):
    with pytest.raises(ModelNotFound):
        measure("nope", Level(concurrency=1))
    with pytest.raises(ModelNotReady):
        measure("unloaded", Level(concurrency=1))
    with pytest.raises(ServerUnavailable):
        bench("127.0.0.1:9", "linear", [Level(concurrency=1)], duration=1)


def test_a_load_process_that_is_killed_is_an_error(measure):
    def kill():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in psutil.Process().children():
                if "nosbuild.bench.load_process" in child.cmdline():
                    child.kill()
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(HostError, match="load process ended"):
        measure("linear", Level(concurrency=1), duration=5.0)
    thread.join()


def test_no_load_is_left_when_bench_is_killed(service):
    code = (
        "from nosbuild.bench import Level, bench\n"
        f"bench({service.grpc_url!r}, 'linear', [Level(concurrency=2)], duration=60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    own = psutil.Process(child.pid)
    deadline = time.monotonic() + 60
    while not (load := own.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    child.kill()
    child.wait()
    assert load
    _, alive = psutil.wait_procs(load, timeout=60)
    assert not alive
