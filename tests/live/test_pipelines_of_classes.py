"""Pipelines with Python classes in them: text to numbers, streams, and a class that calls one."""

import numpy as np
import pytest

from members_at_hand import graph, publish_member
from nosbuild.prove import prove_served
from nosbuild.repository.check import check_repository
from nosbuild.repository.layout import LOCK
from nosbuild.runtime import serve
from nosbuild.steps import build

CLASSES = {
    "lengths": """
from typing import Annotated
import numpy as np

class Lengths:
    def __call__(self, text: str) -> Annotated[np.ndarray, "float32[n]"]:
        return np.array([len(word) for word in text.split()], np.float32)
""",
    "shout": """
from typing import Annotated
import numpy as np

class Shout:
    def __init__(self, models):
        self.models = models

    def __call__(self, text: str) -> str:
        letters = self.models.letters(text=np.array([[text]], dtype=object))["letters"]
        return f"{text.upper()} ({int(letters[0, 0])} letters)"
""",
    "countdown": """
from collections.abc import Iterator
from typing import Annotated
import numpy as np

class Countdown:
    def stream(
        self, start: Annotated[np.ndarray, "float32[2]"]
    ) -> Iterator[Annotated[np.ndarray, "float32[2]"]]:
        while start[0] > 0:
            yield start
            start = start - 1
""",
}
SPECS = {
    "lengths": 'source: {python: "model.py:Lengths"}\npad: {output: 0}',
    "letters": """
source:
  pipeline:
    - {model: lengths, in: {text: text}, out: {output: lengths}}
    - {model: total, in: {x: lengths}, out: {y: letters}}
outputs: {letters: letters, lengths: lengths}
""",
    "shout": 'source: {python: "model.py:Shout"}\nmodels: [letters]',
    "countdown": 'source: {python: "model.py:Countdown"}\nmethods: [stream]',
    "norms": """
source:
  pipeline:
    - {model: countdown, in: {start: start}, out: {output: chunk}}
    - {model: norm, in: {x: chunk}, out: {y: norm}}
outputs: {norm: norm}
""",
}
SAMPLES = {
    "start": "np.array([number, number + 1], np.float32) for number in range(4)",
    "text": "text for text in ('one', 'two words', 'three of them', 'a b', 'to be')",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("classes")
    folder = scratch / "repository"
    x, y = {"x": "float32[batch, n]"}, {"y": "float32[batch]"}
    summed = graph("ReduceSum", x, y, [np.array([1])], keepdims=0)
    publish_member(folder, scratch, "total", x, y, summed, dims="dims: {batch: 1..2..4, n: 1..8}")
    pair, number = {"x": "float32[2]"}, {"y": "float32[]"}
    norm = graph("ReduceL2", pair, number, keepdims=0)
    publish_member(folder, scratch, "norm", pair, number, norm)
    for name, spec in SPECS.items():
        model = folder / name
        model.mkdir()
        taken = "start" if name in ("countdown", "norms") else "text"
        (model / "samples.py").write_text(
            "import numpy as np\n\n\ndef samples():\n"
            f'    return [{{"{taken}": one}} for one in ({SAMPLES[taken]})]\n'
        )
        (model / "model.yaml").write_text(f'name: {name}\n{spec}\nsamples: "samples.py:samples"\n')
        if name in CLASSES:
            (model / "model.py").write_text(CLASSES[name])
    return folder


@pytest.fixture(scope="module")
def built(repository):
    return {name: build(repository / name) for name in SPECS}


@pytest.fixture(scope="module")
def service(repository, built):
    with serve(repository, models=["shout", "norms"]) as running:
        yield running


@pytest.fixture(scope="module")
def client(service):
    with service.client() as client:
        yield client


def test_every_one_is_proven(repository, built):
    assert all(result.proof.passed for result in built.values())
    assert built["letters"].proof.batches == (1, 2, 4)
    assert "lengths (python) and total (onnx-fp32)" in built["letters"].report.headline
    assert check_repository(repository) == []


def test_texts_of_unequal_length_go_through_both_models(client):
    texts = np.array([["one"], ["three of them"]], dtype=object)
    answer = client.run("letters", {"text": texts})
    np.testing.assert_array_equal(answer["letters"], [[3], [11]])
    np.testing.assert_array_equal(answer["lengths"], [[3, 0, 0], [5, 2, 4]])  # filled up


def test_what_is_filled_up_is_proven_through_the_server(repository, service):
    proofs = prove_served(repository, ["lengths", "letters"], server=service)
    assert [proof.refusal() for proof in proofs if not proof.passed] == []
    assert all(way.joined for way in proofs[0].ways if way.together)
    lock = repository / "lengths/1" / LOCK
    told = lock.read_text()
    lock.write_text(told.replace('"output": 0', '"output": 1'))
    try:
        (proof,) = prove_served(repository, ["lengths"], server=service)
    finally:
        lock.write_text(told)
    assert "must be padding, but holds 0.0, and pad says 1" in proof.refusal()


def test_a_class_calls_a_pipeline(client):
    answer = client.run("shout", {"text": np.array([["two words"]], dtype=object)})
    assert answer["output"][0, 0] in ("TWO WORDS (8 letters)", b"TWO WORDS (8 letters)")


def test_what_follows_a_stream_is_streamed(client):
    with client.stream("norms", {"start": np.array([3, 4], np.float32)}) as stream:
        norms = [chunk["norm"].item() for chunk in stream]
    np.testing.assert_allclose(norms, [5.0, np.sqrt(13), np.sqrt(5)], rtol=1e-6)


def test_the_proof_of_a_stream_holds_through_the_server(repository, service):
    (proof,) = prove_served(repository, ["norms"], server=service)
    assert proof.passed, proof.refusal()
    assert {way.transport for way in proof.ways} == {"gRPC"}


def test_what_a_class_calls_is_loaded_with_it(service):
    loaded = ["countdown", "lengths", "letters", "norm", "norms", "shout", "total"]
    assert service.models() == loaded
