"""Classes and pipelines of the gallery through a real Triton: texts and files in, meaning out."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from nosbuild.prove import prove_served
from nosclient import Client, InferenceFailed, NosClientError

pytestmark = [pytest.mark.gallery, pytest.mark.live]

QUESTIONS = ("What is gravity?", "What is the capital of France?")


@pytest.fixture(scope="module")
def grpc(service):
    with Client(service.grpc_url) as made:
        yield made


def texts(*values: str) -> np.ndarray:
    return np.array([[value] for value in values], dtype=object)


def decoded(array: np.ndarray) -> list[str]:
    return [value.decode() for value in array.reshape(-1)]


def test_they_answer_through_the_server_as_they_were_proven(built, service):
    repository = built["text_embedding"].folder.parent
    models = ["image_classifier", "minilm_tokenizer", "text_embedding"]
    proofs = prove_served(repository, models, server=service)
    assert [proof.model for proof in proofs] == models
    assert [proof.refusal() for proof in proofs if not proof.passed] == []


def test_texts_that_mean_alike_have_vectors_that_are_near(client):
    vectors = client.run(
        "text_embedding",
        {
            "text": texts(
                "A cat sleeps on the sofa.", "The kitten naps on the couch.", "Stocks fell."
            )
        },
    )["embedding"]
    scores = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(scores), 1, atol=1e-5)
    assert scores[0, 1] > 0.4 > max(scores[0, 2], scores[1, 2])


def test_the_pipeline_is_its_two_models(client, task):
    batch = texts(*task("text_embedding", "samples").TEXTS[:8])
    tokens = client.run("minilm_tokenizer", {"text": batch})
    apart = client.run("minilm", tokens)["sentence_embedding"]
    together = client.run("text_embedding", {"text": batch})["embedding"]
    np.testing.assert_allclose(together, apart, atol=1e-4)


def test_short_texts_are_short_for_the_model(client):
    tokens = client.run("minilm_tokenizer", {"text": texts("Hello", "word " * 40)})
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape == (2, 64)
    assert tokens["attention_mask"].sum(1).tolist() == [3, 42]
    assert client.run("minilm_tokenizer", {"text": texts("Hello")})["input_ids"].shape == (1, 32)


@pytest.mark.parametrize("degrees", [0, 90, -12])
def test_a_page_is_read_however_it_lies(client, task, degrees):
    samples = task("ocr", "samples")
    page = samples.file(samples.turned(samples.bill(), degrees), "JPEG")
    read = client.run("ocr", {"image": np.array([page], dtype=object)})
    # It may miss the space after a full stop.
    assert [text.replace(" ", "") for text in decoded(read["text"])] == [
        line.replace(" ", "") for line in samples.BILL
    ]
    assert read["boxes"].shape == (len(samples.BILL), 4, 2)
    assert read["scores"].min() > 0.9


def test_the_photographed_page_is_read(client):
    from skimage import data

    file = io.BytesIO()
    Image.fromarray(data.page()).save(file, "PNG")
    read = client.run("ocr", {"image": np.array([file.getvalue()], dtype=object)})
    text = " ".join(decoded(read["text"]))
    assert text.startswith("Region-based segmentation Let us first determine markers of the coins")
    assert "np.zeros_like(coins)" in text.replace("（", "(")


def test_a_blank_page_has_no_lines(client, task):
    blank = task("ocr", "samples").file(Image.new("L", (200, 100), 255))
    read = client.run("ocr", {"image": np.array([blank], dtype=object)})
    shapes = {name: array.shape for name, array in read.items()}
    assert shapes == {"text": (0,), "boxes": (0, 4, 2), "scores": (0,)}


def test_pictures_are_named(client, task):
    from skimage import data

    file = task("image_classifier", "samples").file
    files = [file(data.chelsea(), "JPEG"), file(data.coffee(), "JPEG"), file(data.camera(), "PNG")]
    batch = np.array([[content] for content in files], dtype=object)
    answer = client.run("image_classifier", {"image": batch})
    best = [name.decode() for name in answer["label"][:, 0]]
    assert best == ["Egyptian cat", "espresso", "tripod"]
    assert answer["score"].shape == (3, 5)
    assert (np.diff(answer["score"], axis=1) <= 0).all()


@pytest.mark.parametrize("model", ["ocr", "image_classifier"])
def test_what_is_no_picture_is_refused_alone(client, task, model):
    good = task("ocr", "samples").file(Image.new("RGB", (64, 64)))
    shape = (1,) if model == "ocr" else (1, 1)

    def ask(content: bytes) -> object:
        try:
            return client.run(model, {"image": np.full(shape, content, dtype=object)})
        except NosClientError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, [good, b"no picture", good, b"", good, b"nor this"]))
    assert [isinstance(answer, str) for answer in answers] == [False, True] * 3
    assert all("image" in answer for answer in answers if isinstance(answer, str))


def said(client: Client, prompt: str, **options: float) -> list[str]:
    """The pieces of an answer."""
    inputs = {"prompt": np.array([prompt], dtype=object)}
    for name, value in options.items():
        inputs[name] = np.array([value], dtype=np.float64 if name == "temperature" else np.int64)
    with client.stream("smollm2", inputs) as chunks:
        return [chunk["output"].item().decode() for chunk in chunks]


@pytest.fixture(scope="module")
def greedy(task, original_llama):
    """Question -> the first 20 tokens that transformers' own Llama says, as text."""
    import torch

    chat = task("smollm2", "chat").Chat(None)
    answers = {}
    for question in QUESTIONS:
        talk = torch.tensor([chat.tokenizer.talk(chat.system, question)])
        with torch.no_grad():
            tokens = original_llama.generate(talk, max_new_tokens=20, do_sample=False)
        answer = [token for token in tokens[0, talk.shape[1] :].tolist() if token != 2]
        answers[question] = chat.tokenizer.text(answer)
    return answers


def test_a_talk_is_the_original_s_to_the_token(grpc, greedy):
    for question in QUESTIONS:
        pieces = said(grpc, question, max_tokens=20)
        assert "".join(pieces) == greedy[question]
        assert len(pieces) > 5


def test_talks_at_once_keep_apart(grpc, greedy):
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda question: said(grpc, question, max_tokens=20), QUESTIONS * 2)
        assert ["".join(pieces) for pieces in answers] == [greedy[q] for q in QUESTIONS * 2]


def test_a_temperature_draws_and_a_seed_repeats_it(grpc):
    first, again, other = (
        "".join(said(grpc, "Tell me a story.", max_tokens=8, temperature=1.0, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_who_leaves_stops_the_decoder(grpc):
    before = grpc.statistics("smollm2_decoder").inference_count
    inputs = {
        "prompt": np.array(["Write a very long story."], dtype=object),
        "max_tokens": np.array([900], dtype=np.int64),
    }
    with grpc.stream("smollm2", inputs) as chunks:
        for _ in range(3):
            next(chunks)
    deadline = time.monotonic() + 60
    count = -1
    while (now := grpc.statistics("smollm2_decoder").inference_count) != count:
        assert time.monotonic() < deadline
        count = now
        time.sleep(1)
    assert 3 <= count - before < 100


def test_a_prompt_that_is_too_long_is_told(grpc):
    with pytest.raises(InferenceFailed, match="1023 is the most"):
        said(grpc, "word " * 1100)
    assert said(grpc, QUESTIONS[1], max_tokens=2)
