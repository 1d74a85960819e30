"""The gallery, built with its real weights and called through a real Triton."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nosbuild
from nosbuild.verify.golden import GoldenSample, read_golden
from nosclient import Client

pytestmark = [pytest.mark.gallery, pytest.mark.live]

GALLERY = Path(__file__).resolve().parents[2] / "model_repository"
MODELS = (
    "breast_cancer",
    "efficientnet_lite0",
    "minilm",
    "ocr_detect",
    "ocr_direction",
    "ocr_recognize",
    "smollm2_decoder",
)


def golden(built, name: str) -> list[GoldenSample]:
    result = built[name]
    return read_golden(result.folder / str(result.version) / "golden")


EMBEDDING = "sentence_embedding"
"""Served in int8: its bar is on the cosine."""


def assert_same(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Rounding apart, the source's own answer; a batch axis of one may stand before it."""
    assert outputs.keys() == expected.keys()
    for name, wanted in expected.items():
        got = outputs[name].reshape(wanted.shape)
        if name == EMBEDDING:
            assert float(got @ wanted) / float(np.linalg.norm(got) * np.linalg.norm(wanted)) >= 0.99
        elif wanted.dtype.kind == "f":
            scale = max(0.1, float(np.abs(wanted).max()))
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3 * scale)
        else:
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", MODELS)
def test_answers_what_the_source_answered(name, built, client):
    for sample in golden(built, name)[:8]:
        batch = {key: array[None] for key, array in sample.inputs.items()}
        assert_same(client.run(name, batch), sample.outputs)


@pytest.mark.parametrize("name", ["minilm", "breast_cancer"])
def test_answers_stay_apart_when_triton_joins_requests(name, built, service):
    samples = golden(built, name)
    with Client(service.grpc_url) as client:
        before = client.statistics(name)

        def ask(sample: GoldenSample) -> dict[str, np.ndarray]:
            return client.run(name, {key: array[None] for key, array in sample.inputs.items()})

        with ThreadPoolExecutor(16) as pool:
            for sample, outputs in zip(samples * 4, pool.map(ask, samples * 4), strict=True):
                assert_same(outputs, sample.outputs)
        requests = 4 * len(samples)
        # Triton counts a request after it has answered it.
        deadline = time.monotonic() + 60
        while (
            after := client.statistics(name)
        ).inference_count < before.inference_count + requests:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert after.inference_count - before.inference_count == requests
    assert after.execution_count - before.execution_count < requests


def test_related_sentences_are_near(client, task):
    texts = ["A cat sleeps on the sofa.", "The kitten naps on the couch.", "Stocks fell sharply."]
    vectors = client.run("minilm", task("minilm", "tokenizer").encode(texts))["sentence_embedding"]
    scores = vectors @ vectors.T
    assert scores[0, 1] > 0.4 > max(scores[0, 2], scores[1, 2])


def test_chelsea_is_a_cat(client, task):
    from skimage import data

    image = task("efficientnet_lite0", "images").prepare(data.chelsea())
    logits = client.run("efficientnet_lite0", {"image": image[None]})["logits"]
    ((best, _), *_) = task("image_classifier", "labels").top(logits[0])
    assert best == "Egyptian cat"


def test_unchanged_models_are_not_published_again(built):
    again = nosbuild.build(GALLERY / "minilm", built["minilm"].folder.parent)
    assert (again.version, again.is_new) == (built["minilm"].version, False)
    assert [step.step for step in again.steps if not step.cached] == []


def test_bytes_that_were_not_proven_are_not_served(built, tmp_path):
    shutil.copytree(built["breast_cancer"].folder, tmp_path / "breast_cancer")
    artifact = tmp_path / "breast_cancer" / str(built["breast_cancer"].version) / "model.onnx"
    artifact.write_bytes(artifact.read_bytes() + b"\0")
    with pytest.raises(nosbuild.NosError, match="is not the file that was proven"):
        nosbuild.serve(tmp_path)
