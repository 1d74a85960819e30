"""Models that add a number, published in versions that add another one; and callers meanwhile."""

import threading
import time

import numpy as np
import psutil

from members_at_hand import graph, publish_member
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.refused import refusal_of
from nosclient import Client, NosClientError

TENSORS = {"x": "float32[batch, 4]"}, {"y": "float32[batch, 4]"}
WIDER = {"x": "float32[batch, 5]"}, {"y": "float32[batch, 5]"}
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


def adder(number, tensors=TENSORS):
    return graph("Add", *tensors, [np.array(number, np.float32)])


class Publisher:
    """Publishes into one repository, each time from a folder of its own."""

    def __init__(self, repository, scratch):
        self.repository = repository
        self.scratch = scratch
        self.count = 0

    def __call__(self, name, number, tensors=TENSORS, **options):
        """Version that answers x + number; its folder's number."""
        self.count += 1
        scratch = self.scratch / str(self.count)
        model = options.pop("model", None) or adder(number, tensors)
        options.setdefault("dims", "dims: {batch: 1..2..8}")
        return publish_member(self.repository, scratch, name, *tensors, model, **options).version

    def wrong(self, name, number):
        """One whose golden samples say something else than it answers."""
        return self(name, number, answers_of=adder(number + 1))

    def unloadable(self, name, number):
        """One whose file is not what config.pbtxt says."""
        return self(name, number, model=adder(number, WIDER), answers_of=adder(number))

    def state(self, name):
        """All that tells what is published of a model."""
        folder = ModelFolder(self.repository / name)
        return folder.config.read_bytes(), folder.config.stat().st_mtime_ns

    def refusal(self, name, version):
        return refusal_of(ModelFolder(self.repository / name), version)


class Traffic:
    """Callers of a model over both protocols, each in a thread, for as long as the block lasts."""

    def __init__(self, service, model, callers=4):
        self.answers = [[] for _ in range(callers)]
        self.failed = []
        self._model = model
        self._urls = [service.grpc_url, service.http_url]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(number,)) for number in range(callers)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_):
        self.wait_for_more()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, each=3):
        """Until every caller has had as many answers more."""
        before = [len(answers) for answers in self.answers]
        until = time.monotonic() + 60
        while any(len(a) < n + each for a, n in zip(self.answers, before, strict=True)):
            assert time.monotonic() < until, self.failed
            assert not self.failed, self.failed
            time.sleep(0.01)

    def _call(self, number):
        x = {"x": np.zeros((1, 4), np.float32)}
        with Client(self._urls[number % 2], deadline=60) as client:
            while not self._stop.is_set():
                try:
                    self.answers[number].append(float(client.run(self._model, x)["y"][0, 0]))
                except NosClientError as error:
                    self.failed.append(f"{type(error).__name__}: {error}")

    def changes(self):
        """Of each caller: its answers, those that are equal to the one before left out."""
        return [
            [one for one, before in zip(answers, [None, *answers], strict=False) if one != before]
            for answers in self.answers
        ]


def workers(service, model):
    """Processes of a model's instances."""
    return {
        child.pid
        for child in psutil.Process(service.pid).children()
        if any(word.startswith(f"{model}_") for word in child.cmdline())
    }


def ready(service):
    """(model, version) of all that is ready, candidates included."""
    with service.client() as client:
        return {(row.name, row.version) for row in client.list_models() if row.state == "READY"}
