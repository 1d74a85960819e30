"""The threads around a manager: real processes as workers, and a server that the test moves."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from nosbuild.inside_triton.model_manager.nos_model_manager.catalogue import Catalogue
from nosbuild.inside_triton.model_manager.nos_model_manager.device_memory import DeviceMemory
from nosbuild.inside_triton.model_manager.nos_model_manager.manager import Manager
from nosbuild.inside_triton.model_manager.nos_model_manager.running import Running
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import host
from nosbuild.inside_triton.model_manager.nos_model_manager.worker_ends import end_when_idle
from nosbuild.inside_triton.model_manager.nos_model_manager.worker_log import WorkerLog
from nosbuild.inside_triton.model_manager.nos_model_manager.worker_watch import WorkerWatch

ONE = {"instance_group": [{"kind": "KIND_CPU", "count": 1}]}
WAITS = "import sys; print(flush=True); sys.stdin.read()"


class Server:
    """Holds one model, whose worker is a child of this process, as Triton's are."""

    def __init__(self):
        self.state = "UNAVAILABLE"
        self.workers = []
        self.loads = 0
        self.code = WAITS

    def states(self):
        return {"a": self.state}

    def usage(self):
        return {}

    def load(self, name, timeout, config=None):
        command = [sys.executable, "-c", self.code, "a_0_0"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.workers.append(subprocess.Popen(command, **pipes))
        self.workers[-1].stdout.readline()
        self.loads += 1
        self.state = "READY"

    def begin_unload(self, name):
        self.state = "UNLOADING"


@pytest.fixture
def server():
    server = Server()
    yield server
    for worker in server.workers:
        worker.kill()
        worker.communicate()


@pytest.fixture
def running(server, tmp_path):
    catalogue = Catalogue({"a": {"bytes": 100, "config": ONE}})
    log = tmp_path / "triton.log"
    log.write_text("")
    watch = WorkerWatch(os.getpid(), catalogue.names, DeviceMemory("none"), WorkerLog(log))
    warned = []
    running = Running(
        lambda begin: Manager(catalogue, host(1 << 40), begin),
        server,
        watch,
        tmp_path / "kept.json",
        warned.append,
    )
    yield running
    running.close()
    assert not [text for text in warned if "Traceback" in text]


def ask(running, **request):
    """The answer, however long that takes."""
    answers, is_there = [], threading.Event()

    def take(answer):
        answers.append(answer)
        is_there.set()

    running.submit(json.dumps(request), take)
    assert is_there.wait(60), request
    return answers[0]


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_worker_that_ends_is_replaced(running, server):
    assert ask(running, operation="ensure", model="a")["state"] == "ready"
    server.workers[0].kill()
    until(lambda: server.loads == 2)
    until(lambda: ask(running, operation="status")["models"]["a"]["state"] == "ready")
    row = ask(running, operation="status")["models"]["a"]
    assert (row["crashes"], row["loads"]) == (1, 2)
    assert "signal 9 (SIGKILL" in row["last_crash"]["reason"]


def test_an_unload_that_a_dead_worker_keeps_for_ever_is_over(running, server):
    assert ask(running, operation="ensure", model="a")["state"] == "ready"
    released = []
    running.submit('{"operation": "release", "model": "a"}', released.append)
    until(lambda: server.state == "UNLOADING")
    server.workers[0].kill()  # what it was to answer keeps Triton waiting
    until(lambda: released)
    assert released == [{"model": "a", "state": "unloaded"}]
    assert ask(running, operation="ensure", model="a")["state"] == "ready"
    assert server.loads == 2


def test_a_worker_that_ends_while_its_load_is_told_is_seen(running, server):
    server.code = "import os, time; print(flush=True); time.sleep(0.5); os._exit(3)"
    assert ask(running, operation="ensure", model="a")["state"] == "ready"
    until(lambda: ask(running, operation="status")["models"]["a"]["crashes"] == 3)
    row = ask(running, operation="status")["models"]["a"]
    assert row["last_crash"]["reason"] == "its worker process ended with exit code 3"
    assert "is not loaded for now" in row["failure"]


def test_the_end_of_the_old_load_is_no_crash_of_the_new_one(running, server):
    assert ask(running, operation="ensure", model="a")["state"] == "ready"
    newer = {"a": {"bytes": 100, "config": {**ONE, "max_batch_size": 2}}}
    assert ask(running, operation="ensure", model="a", again=True, models=newer)["loaded"] == ["a"]
    server.workers[0].kill()  # and is not asked how, as of one that ended by itself before
    status = ask(running, operation="status")
    for _ in range(10):
        time.sleep(0.1)  # a watch that took it for a crash would have told so by now
        status = ask(running, operation="status")
    assert status["models"]["a"]["crashes"] == 0
    assert server.loads == 2


def test_a_number_that_was_given_to_another_process_is_nobodys_worker():
    with subprocess.Popen(["sleep", "60"]) as other:
        watch = WorkerWatch(1, lambda: ["a"], DeviceMemory("none"), WorkerLog(""))
        watch.take_over([[other.pid, 1, "a"]])
        assert watch.ended() == {}
        left = watch.retire("a")
        end_when_idle(left)
        assert other.poll() is None
        other.kill()
