"""However the process that serves ends, nothing of the server is left."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny_models
from calling import call_over

from nosbuild.runtime import running_services, serve
from nosbuild.runtime.service_record import start_time

SCRIPT = """
import sys, os, json, time
from nosbuild.runtime import serve

with serve(sys.argv[1]) as service:
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(600)  # holds the pipe to the supervisor open
        os._exit(0)
    print(json.dumps({"pid": service.pid, "log": str(service.log_file)}), flush=True)
    time.sleep(600)
"""
PATIENCE = 60.0


class Parent:
    """A script that serves, and what belongs to it."""

    def __init__(self, repository, mode="plain"):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(repository), mode],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        line = self.process.stdout.readline()
        told = json.loads(line)
        self.triton = told["pid"]
        self.log = Path(told["log"])
        supervisor = psutil.Process(self.triton).parent()
        self.server = [supervisor, *supervisor.children(recursive=True)]

    def regions(self):
        return list(Path("/dev/shm").glob(f"nosbuild-{self.process.pid}-*"))

    def alive(self):
        """Processes of the server that have not ended; who inherits them buries them later."""
        return [
            process.pid
            for process in self.server
            if process.is_running() and start_time(process.pid) is not None
        ]

    def left(self):
        """What is still there of the server; empty once all is cleaned up."""
        records = [record for record in running_services() if record.pid == self.triton]
        logs = [self.log] if self.log.exists() else []
        return [*self.alive(), *self.regions(), *records, *logs]

    def left_in_the_end(self):
        deadline = time.monotonic() + PATIENCE
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def tiny(tmp_path):
    repository = tmp_path / "repository"
    tiny_models.add_one(repository)
    return repository


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_parent_is_ended_by(number, tiny):
    parent = Parent(tiny)
    try:
        assert len(parent.server) >= 3, "supervisor, Triton and at least one worker"
        assert parent.regions()
        assert parent.triton in {record.pid for record in running_services()}
        parent.process.send_signal(number)
        assert parent.left_in_the_end() == []
    finally:
        parent.end()


def test_a_fork_of_the_parent_does_not_keep_the_server_alive(tiny):
    parent = Parent(tiny, "fork")
    fork = next(
        child
        for child in psutil.Process(parent.process.pid).children()
        if child not in parent.server
    )
    try:
        parent.process.kill()
        parent.process.wait()
        assert parent.left_in_the_end() == []
        assert fork.is_running()
    finally:
        fork.kill()
        parent.process.stdout.close()


def test_nothing_is_left_when_the_supervisor_is_killed_but_shared_memory(tiny):
    parent = Parent(tiny)
    try:
        parent.server[0].kill()
        # A worker may end after Triton: nobody is left who waits for it.
        deadline = time.monotonic() + PATIENCE
        while (alive := parent.alive()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert alive == []
    finally:
        parent.end()
    for region in parent.regions():
        region.unlink()


def test_the_end_of_the_server_itself_is_told_and_its_log_kept(tiny):
    service = serve(tiny)
    psutil.Process(service.pid).kill()
    assert service.wait() == -signal.SIGKILL
    assert not service.is_running
    assert service.log_file.exists()
    assert service.pid not in {record.pid for record in running_services()}
    service.stop()
    service.log_file.unlink()


def test_a_worker_that_died_does_not_hold_up_the_end(tiny):
    with serve(tiny) as service:
        for worker in psutil.Process(service.pid).children():
            worker.kill()
    assert not service.is_running


def test_requests_in_flight_are_answered_before_the_end(tmp_path):
    at_work = tmp_path / "at_work"
    slow = tiny_models.SLOW.replace(
        "time.sleep(0.1)", f"open({str(at_work)!r}, 'w').close(); time.sleep(1.0)"
    )
    tiny_models.slow(tmp_path / "repository", slow)
    service = serve(tmp_path / "repository")
    caller = call_over("grpc", service)
    answers = []

    def ask():
        answers.append(caller("slow", x=np.ones((1, 1), np.float32)))

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + PATIENCE
    while not at_work.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    service.stop()
    asking.join()
    caller.close()
    assert answers[0]["y"].tolist() == [[2.0]]


FINALIZES = (
    tiny_models.SLOW
    + """
    def finalize(self):
        with open({marker!r}, "w") as file:
            file.write("finalized")
"""
)


def test_python_models_are_finalized(tmp_path):
    marker = tmp_path / "marker"
    tiny_models.slow(tmp_path / "repository", FINALIZES.replace("{marker!r}", repr(str(marker))))
    with serve(tmp_path / "repository"):
        assert not marker.exists()
    assert marker.read_text() == "finalized"
