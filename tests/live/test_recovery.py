"""Workers that end by themselves, and instances at run time: a real Triton under load."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import managed_models
import psutil
import pytest
import tiny_models

from nosbuild.runtime import serve
from nosbuild.runtime.model_manager import ask_manager
from nosclient import Client, InferenceFailed, ModelLoadFailed, ModelNotFound

X = [[1.0]]
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
THREADS = 4

ENDS_ITSELF = """
import os
import sys

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        print("the weights are not what I thought", file=sys.stderr, flush=True)
        os._exit(3)
"""

SLEEPS = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.25 * len(requests))
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(one, "x").as_numpy())]
            )
            for one in requests
        ]
"""


@pytest.fixture(scope="module")
def demanding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("managed")
    repository = managed_models.repository(folder, ["killed", "pair", "asked"])
    tiny_models.slow(repository, ENDS_ITSELF, "ends_itself")
    tiny_models.slow(repository, SLEEPS, "sleeps")
    with serve(repository, on_demand=True, memory="2GiB", **PORTS) as running:
        yield running


@pytest.fixture(scope="module")
def client(demanding):
    with Client(demanding.grpc_url, deadline=60) as client:
        yield client


def row(client, model):
    return ask_manager(client, "status", timeout=30)["models"][model]


def workers(service, model):
    """Processes of its workers that go on."""
    found = []
    for child in psutil.Process(service.pid).children():
        if child.status() != psutil.STATUS_ZOMBIE and any(
            word.startswith(f"{model}_0") for word in child.cmdline()
        ):
            found.append(child.pid)
    return found


def wait_until(holds, what):
    end = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextmanager
def load_on(service, model):
    """Threads that ask all the time; gives what they were answered, and how often."""
    answers = Counter()
    is_over = threading.Event()

    def ask():
        with Client(service.grpc_url, deadline=240, retries=0) as client:
            while not is_over.is_set():
                try:
                    answer = client.run(model, {"x": X})["y"].item()
                except Exception as error:  # noqa: BLE001 - it is what the test looks at
                    answer = f"{type(error).__name__}: {error}"
                answers[answer] += 1

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def more(answers, number=20):
    """Waits for so many answers more."""
    before = sum(answers.values())
    wait_until(lambda: sum(answers.values()) > before + number, f"no more answers: {answers}")


@pytest.mark.parametrize(
    ("model", "victim", "instances", "right"),
    [("killed", "killed", 1, 2.0), ("pair", "pair", 2, 2.0), ("twice", "first", 1, 4.0)],
)
def test_only_what_is_in_flight_is_lost_with_a_worker(
    demanding, client, model, victim, instances, right
):
    if instances > 1:
        ask_manager(client, "scale", model=victim, instances=instances, timeout=30)
    client.run(model, {"x": X})
    before = row(client, victim)
    with load_on(demanding, model) as answers:
        more(answers)
        killed = workers(demanding, victim)
        assert len(killed) == instances
        os.kill(killed[0], signal.SIGKILL)
        wait_until(lambda: row(client, victim)["loads"] > before["loads"], "not loaded again")
        more(answers)
        wait_until(lambda: not set(killed) & set(workers(demanding, victim)), "the other stays")
    failed = {text: number for text, number in answers.items() if text != right}
    # Those in flight; on a machine that is slow to notice, some more in its last moments.
    assert 1 <= sum(failed.values()) <= 10 * THREADS, failed
    for text in failed:
        assert text.startswith("WorkerEnded: ")
        assert "is not healthy" in text
    after = row(client, victim)
    assert (after["state"], after["crashes"]) == ("ready", before["crashes"] + 1)
    assert "signal 9 (SIGKILL" in after["last_crash"]["reason"]
    assert len(workers(demanding, victim)) == instances
    assert "not_returned" not in after


def test_a_model_that_always_ends_is_braked_and_named(demanding, client):
    met = []

    def is_braked():
        try:
            client.run("ends_itself", {"x": X})
        except (InferenceFailed, ModelLoadFailed, ModelNotFound) as error:
            met.append(error)
        return isinstance(met[-1], ModelLoadFailed)

    wait_until(is_braked, met)
    assert "model 'ends_itself' is not loaded for now: its worker process ended 3 times" in str(
        met[-1]
    )
    assert "it is not tried again for" in str(met[-1])
    shown = row(client, "ends_itself")
    assert shown["crashes"] == 3
    assert shown["last_crash"]["reason"] == "its worker process ended with exit code 3"
    assert "the weights are not what I thought" in shown["last_crash"]["log"]
    wait_until(lambda: row(client, "ends_itself")["state"] == "unloaded", "it stays")
    assert not workers(demanding, "ends_itself")
    assert client.run("killed", {"x": X})["y"].item() == 2.0, "others go on"


def test_instances_change_under_load_without_a_lost_request(demanding, client):
    client.run("asked", {"x": X})
    (first,) = workers(demanding, "asked")
    with load_on(demanding, "asked") as answers:
        for instances in (3, 1, 2):
            more(answers)
            told = ask_manager(client, "scale", model="asked", instances=instances, timeout=60)
            assert (told["state"], told["instances"]) == ("ready", instances)
            wait_until(
                lambda wanted=instances: len(workers(demanding, "asked")) == wanted, "not so many"
            )
            if instances == 3:
                assert first in workers(demanding, "asked"), "they are started beside it"
        more(answers)
    assert set(answers) == {2.0}
    demanding.unload_model("asked")
    assert client.run("asked", {"x": X})["y"].item() == 2.0
    assert len(workers(demanding, "asked")) == 2, "what was asked for holds for the next load"


def test_a_model_that_is_asked_more_than_it_answers_gets_instances(demanding, client):
    told = ask_manager(client, "scale", model="sleeps", instances=[1, 2], timeout=30)
    assert told["instances"] == 1
    client.run("sleeps", {"x": X})
    with load_on(demanding, "sleeps") as answers:
        wait_until(lambda: row(client, "sleeps")["instances"] == 2, "no more instances")
    assert set(answers) == {1.0}
    assert len(workers(demanding, "sleeps")) == 2
