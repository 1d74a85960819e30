"""A class that reads the streams of another model, to their end or not, inside a real Triton."""

import numpy as np
import psutil
import pytest

from nosbuild.runtime import serve
from nosbuild.steps import build
from nosclient import InferenceFailed

WORDS = """
from collections.abc import Iterator


class Words:
    def stream(self, text: str, n: int, fails: bool) -> Iterator[list[str]]:
        for number in range(3):
            yield [f"{text} {number} {word}" for word in range(n)]
        if fails:
            raise ValueError(f"no more of {text}")
"""
READER = """
import os


class Reader:
    def __init__(self, models):
        self.words = models["words"]

    def __call__(self, text: str, times: int, fails: bool = False) -> {"last": str, "pid": float}:
        for n in range(times):
            for chunk in self.words.stream(text=[f"{text} {n}"], n=[2000], fails=[fails]):
                last = chunk["output"].ravel()[-1].decode()
            del chunk  # nothing of it is held here
            [str(number) for number in range(20_000)]  # Python's memory in use meanwhile
        return {"last": last, "pid": os.getpid()}

    def first(self, text: str, times: int) -> {"last": str, "pid": float}:
        for n in range(times):
            for chunk in self.words.stream(text=[f"{text} {n}"], n=[20_000], fails=[False]):
                last = chunk["output"].ravel()[-1].decode()
                break
        return {"last": last, "pid": os.getpid()}
"""
READER_YAML = """
name: reader
source: {python: "model.py:Reader"}
methods: [__call__, first]
quality: {pid: {atol: 1.0e9}}
models: [words]
samples: "samples.py:samples"
"""
WORDS_YAML = """
name: words
source: {python: "model.py:Words"}
methods: [stream]
samples: "samples.py:samples"
"""
SAMPLES = {
    "words": '{"text": "a", "n": 3, "fails": False}',
    "reader": '{"text": "a", "times": 2}',
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    for name, code, spec in (("words", WORDS, WORDS_YAML), ("reader", READER, READER_YAML)):
        folder = repository / name
        folder.mkdir()
        (folder / "model.py").write_text(code)
        (folder / "model.yaml").write_text(spec)
        (folder / "samples.py").write_text(f"def samples():\n    yield {SAMPLES[name]}\n")
        build(folder)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, announce=False, **ports) as service, service.client() as client:
        yield client


def asked(client, model, times, **more):
    answer = client.run(model, {"text": [["x"]], "times": np.array([[times]]), **more})
    return answer["last"].item().decode(), int(answer["pid"].item())


def test_many_streams_read_to_their_end(client):
    """Triton lets go of each without the interpreter's lock: the worker must hold it longer."""
    answers = [asked(client, "reader", 25) for _ in range(8)]
    assert answers == [("x 24 2 1999", answers[0][1])] * 8


def test_streams_that_fail(client):
    fails = {"fails": np.array([[True]])}
    _, worker = asked(client, "reader", 1)
    for _ in range(20):
        with pytest.raises(InferenceFailed, match="model 'words': ValueError: no more of x 0"):
            asked(client, "reader", 1, **fails)
    assert asked(client, "reader", 1) == ("x 0 2 1999", worker)


def test_streams_that_are_left_take_no_memory(client):
    _, worker = asked(client, "reader.first", 10)
    process = psutil.Process(worker)
    before = process.memory_info().rss
    answers = [asked(client, "reader.first", 10) for _ in range(8)]
    grown = (process.memory_info().rss - before) / 2**20
    assert answers == [("x 9 0 19999", worker)] * 8
    assert grown < 100, f"{grown:.0f} MiB more after 80 streams of three chunks of 2 MiB"
