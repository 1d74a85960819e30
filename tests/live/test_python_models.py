"""Python classes with packages of their own: built, served by a real Triton, called."""

import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from members_at_hand import graph, publish_member
from nosbuild.errors import SpecError
from nosbuild.prove import prove_served
from nosbuild.repository.check import check_repository
from nosbuild.runtime import serve
from nosbuild.steps import build
from nosclient import Client, InferenceFailed
from python_folders import write_words

SUMMARY = """
import re
from collections.abc import Iterator

from nltk.tokenize import wordpunct_tokenize


class Summary:
    def __init__(self, sentences: int = 3):
        self.sentences = sentences

    def __call__(self, text: str) -> str:
        return " ".join(self._best(text))

    def summarize(self, texts: list[str]) -> list[str]:
        return [self(text) for text in texts]

    def stream(self, text: str) -> Iterator[str]:
        yield from self._best(text)

    def _best(self, text):
        if "?" in text:
            raise ValueError(f"asks: {text}")
        sentences = re.findall(r"[^.]+\\.", text)
        words = wordpunct_tokenize(text.lower())
        best = sorted(
            sentences,
            key=lambda s: -sum(words.count(w) for w in wordpunct_tokenize(s.lower()) if w != "."),
        )
        return [s.strip() for s in sentences if s in best[: self.sentences]]
"""
SUMMARY_SAMPLES = """
def samples():
    for text in ("Cats purr. Dogs bark. Cats sleep.", "One.", "", "A b. A b. C."):
        yield {"text": text, "texts": text}
"""
TEXT = "It rains. Cats like cats. Dogs do not like cats. The end."
BEST = [b"Cats like cats.", b"Dogs do not like cats."]

SIX = """
import six
import sys


class Six:
    def __call__(self, text: str) -> dict[str, str]:
        return {"version": six.__version__, "prefix": sys.prefix, "text": text}
"""

ASKING = """
import asyncio
from typing import Annotated

import numpy as np


class Asking:
    def __init__(self, models):
        self.models = models

    def __call__(
        self, x: Annotated[np.ndarray, "float32[4]"], text: str
    ) -> {"doubled": Annotated[np.ndarray, "float32[4]"], "six": str, "best": list[str]}:
        doubled = self.models.double(x=x[None])["y"][0]
        six = self.models["six_old"](text=[text])["version"][0, 0].decode()
        chunks = self.models["summary.stream"].stream(text=[text])
        return {"doubled": doubled, "six": six, "best": [c["output"][0].decode() for c in chunks]}

    async def both(self, text: str) -> str:
        asked = [self.models[name].aio(text=[[text]]) for name in ("six_old", "six_new")]
        answers = await asyncio.gather(*asked)
        return " ".join(answer["version"][0, 0].decode() for answer in answers)
"""
ASKING_SAMPLES = """
import numpy as np

def samples():
    for n, text in enumerate(["Cats purr.", "A. B. C.", "größer."]):
        yield {"x": np.full(4, n, np.float32), "text": text}
"""


def write(folder, code, yaml, samples=""):
    folder.mkdir()
    (folder / "model.py").write_text(textwrap.dedent(code))
    (folder / "model.yaml").write_text(f"name: {folder.name}\n{textwrap.dedent(yaml)}")
    if samples:
        (folder / "samples.py").write_text(samples)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    tensors = {"x": "float32[batch, 4]"}, {"y": "float32[batch, 4]"}
    double = graph("Mul", *tensors, [np.array(2, np.float32)])
    publish_member(folder, tmp_path_factory.mktemp("scratch"), "double", *tensors, double)
    summary = """
    source: {python: "model.py:Summary", init: {sentences: 2}}
    requirements: [nltk>=3.9]
    methods: [__call__, summarize, stream]
    samples: "samples.py:samples"
    """
    build(write(folder / "summary", SUMMARY, summary, SUMMARY_SAMPLES))
    for name, version in (("six_old", "1.15.0"), ("six_new", "1.16.0")):
        six = f"""
        source: {{python: "model.py:Six"}}
        requirements: [six=={version}]
        outputs: {{version: "string[]", prefix: "string[]", text: "string[]"}}
        """
        build(write(folder / name, SIX, six))
    asking = """
    source: {python: "model.py:Asking"}
    methods: [__call__, both]
    models: [double, six_old, six_new, summary.stream]
    samples: "samples.py:samples"
    """
    build(write(folder / "asking", ASKING, asking, ASKING_SAMPLES))
    build(write_words(folder / "words"))
    return folder


@pytest.fixture(scope="module")
def running(repository):
    with serve(repository, http_port=0, grpc_port=0, metrics_port=0, announce=False) as service:
        yield service


@pytest.fixture(scope="module")
def client(running):
    with Client(running.grpc_url) as client:
        yield client


def test_a_class_with_packages_of_its_own(client):
    answer = client.run("summary", {"text": [[TEXT], ["Hi."]]})["output"]
    assert answer.tolist() == [[b" ".join(BEST)], [b"Hi."]]
    answer = client.run("summary.summarize", {"texts": [[TEXT], ["Hi."]]})["output"]
    assert answer.tolist() == [[b" ".join(BEST)], [b"Hi."]]
    chunks = [
        chunk["output"].tolist() for chunk in client.stream("summary.stream", {"text": [TEXT]})
    ]
    assert chunks == [[BEST[0]], [BEST[1]]]


def test_what_the_class_raises_is_its_requests_answer(client):
    with pytest.raises(InferenceFailed, match="ValueError: asks: why\\?"):
        client.run("summary", {"text": [["why?"]]})
    assert client.run("summary", {"text": [["Hi."]]})["output"].item() == b"Hi."


def test_two_versions_of_one_package_at_once(client):
    found = {n: client.run(n, {"text": [["x"]]}) for n in ("six_old", "six_new")}
    assert {n: a["version"].item() for n, a in found.items()} == {
        "six_old": b"1.15.0",
        "six_new": b"1.16.0",
    }
    assert found["six_old"]["prefix"].item() != found["six_new"]["prefix"].item()


def test_a_class_that_calls_other_models(client):
    x = np.arange(4, dtype=np.float32)[None]
    answer = client.run("asking", {"x": x, "text": [[TEXT]]})
    np.testing.assert_array_equal(answer["doubled"], 2 * x)
    assert answer["six"].item() == b"1.15.0"
    assert answer["best"].tolist() == [BEST]
    both = client.run("asking.both", {"text": [["x"]]})["output"]
    assert both.item() == b"1.15.0 1.16.0"


def test_the_same_answers_through_the_server(repository, running):
    proofs = {proof.model: proof for proof in prove_served(repository, server=running)}
    assert [proof.refusal() for proof in proofs.values()] == [""] * 14
    assert {way.transport for way in proofs["summary.stream"].ways} == {"gRPC"}
    assert "travel over gRPC alone" in proofs["summary.stream"].skipped["HTTP"]
    assert {way.transport for way in proofs["asking"].ways} == {"HTTP", "gRPC", "shared memory"}
    assert check_repository(repository) == []


def test_what_may_be_left_out_and_what_differs_in_size(client):
    """Two answers of different sizes cannot be rows of one request, but of two."""
    once = client.run("words", {"text": [["a b"]]})
    assert once["words"].tolist() == [[b"a?!", b"b?!"]]
    twice = client.run("words", {"text": [["a b"]], "times": [[2]]})
    assert twice["lengths"].tolist() == [[3, 3, 3, 3]]
    with pytest.raises(InferenceFailed, match="the items of one request differ"):
        client.run("words", {"text": [["a b"], ["c"]]})
    turned = client.run("words.reverse", {"data": [[b"\x00\xff\x01"]]})
    assert turned["output"].item() == b"\x01\xff\x00"


def test_a_model_that_is_called_must_be_there(repository, tmp_path):
    yaml = 'source: {python: "model.py:Asking"}\nmodels: [dubble]\nsamples: "samples.py:samples"\n'
    folder = write(tmp_path / "asking", ASKING, yaml, ASKING_SAMPLES)
    with pytest.raises(SpecError, match=r"models\[0\]: there is no model 'dubble'") as caught:
        build(folder, repository)
    assert "did you mean 'double'?" in str(caught.value)


def test_a_packed_environment_lies_where_the_config_looks(repository, tmp_path):
    result = build(repository / "six_old", tmp_path / "packed", pack=True)
    (file,) = (result.folder / "environments").iterdir()
    assert file.name in (result.folder / "config.pbtxt").read_text()
    with tarfile.open(file) as packed:
        names = packed.getnames()
    assert {"bin/activate", "lib/python3.11/site-packages/six.py"} <= {
        n.lstrip("./") for n in names
    }
    again = build(repository / "six_old", tmp_path / "packed")
    assert not again.is_new
    assert file.is_file() and not file.is_symlink()
    assert check_repository(tmp_path / "packed") == []


def test_the_command_line_shows_every_method(repository):
    command = [Path(sys.executable).with_name("nosbuild"), "build", repository / "summary"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("summary", "summary.summarize", "summary.stream"):
        assert f"{name}: Summary." in done.stdout
