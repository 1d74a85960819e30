"""Plain Python classes, served by a real Triton through the adapter."""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image
from python_classes import (
    BATCHES,
    CALLER,
    CLOSING,
    FRAGILE,
    IMAGES,
    KINDS,
    LISTENER,
    SLOW,
    SPEAKER,
)

import nosclient
from nosbuild.environments.model_environment import model_environment, resolve
from nosbuild.runtime import serve
from python_versions import model, strings

TEXT_INPUT = {"inputs": {"text": {"dtype": "string", "shape": [1, 1]}}}
WAITING = "dynamic_batching { max_queue_delay_microseconds: 50000 }"
LONG_WAITING = "dynamic_batching { max_queue_delay_microseconds: 300000 }"
GATHERING = tiny_models.GATHERS(8)


@pytest.fixture(scope="module")
def python_service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    repository = folder / "models"
    model(repository, "fragile", FRAGILE, WAITING, reference="model.py:Fragile")
    model(repository, "batches", BATCHES, LONG_WAITING, reference="model.py:Batches")
    padded = {"reference": "model.py:Batches", "pad": {"x": 0.0}}
    model(repository, "padded", BATCHES, GATHERING, **padded)
    model(repository, "kinds", KINDS)
    model(repository, "whole", FRAGILE, reference="model.py:Fragile", batched=False)
    model(repository, "slow", SLOW, WAITING, reference="model.py:Slow")
    tiny_models.add_one(repository)
    models = {"add_one": {}, "fragile": TEXT_INPUT, "nowhere": {}}
    for method in ("plain", "awaited"):
        binding = {"models": models, "init": {"times": 3}, "method": method}
        model(repository, f"caller.{method}", CALLER, reference="model.py:Caller", **binding)
    speaker = {"reference": "model.py:Speaker", "init": {"folder": str(folder)}}
    model(repository, "speaker", SPEAKER, **speaker)
    for method in ("plain", "awaited"):
        binding = {"models": {"speaker": {"decoupled": True, "legs": True}}, "method": method}
        name = f"listener.{method}"
        model(repository, name, LISTENER, reference="model.py:Listener", **binding)
    closing = {"reference": "model.py:Closing", "init": {"folder": str(folder)}}
    model(repository, "closing", CLOSING, **closing)
    environment = model_environment(resolve(("pillow<12",), on_progress=print), print)
    own = f"""
        parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{environment.folder}" }} }}
    """
    for name, method in (("images", "__call__"), ("images.python", "python")):
        model(repository, name, IMAGES, own, reference="model.py:Images", method=method)
    with serve(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(python_service):
    with nosclient.Client(f"grpc://{python_service.grpc_url}", deadline=60) as client:
        yield client


def column(*items):
    return strings(*items).reshape(-1, 1)


def outcomes(jobs, threads=16):
    def outcome(job):
        try:
            return job()
        except nosclient.InferenceFailed as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(outcome, jobs))


def test_a_thousand_requests_of_which_a_tenth_raise(client):
    names = [f"bad {i}" if i % 10 == 3 else f"word {i}" for i in range(1000)]
    names[500] = "exit 500"
    names[600] = "odd 600"
    found = outcomes(
        [lambda name=name: client.run("fragile", {"text": [[name]]}) for name in names]
    )
    workers = Counter()
    for name, answer in zip(names, found, strict=True):
        if name.startswith("bad"):
            assert f"ValueError: cannot read {name}" in str(answer)
        elif name.startswith("exit"):
            assert f"SystemExit: {name}" in str(answer)
        elif name.startswith("odd"):
            assert f"ValueError: {name} ?" in str(answer)
        else:
            assert answer["text"].item().decode() == name.upper()
            workers[answer["worker"].item()] += 1
    assert list(workers.values()) == [898]  # one process, from the first to the last
    batches = client.statistics("fragile").executions_by_batch_size
    assert sum(batches.values()) < 1000  # they did come together


def test_whole_batches_are_joined_where_shapes_are_equal(client):
    # Triton itself parts requests of unequal shape where they follow each other.
    arrays = [np.full((1, 3 if i == 5 else 2), i, np.float32) for i in range(12)]
    found = outcomes([lambda x=x: client.run("batches", {"x": x}) for x in arrays], 12)
    for x, answer in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(answer["doubled"], 2 * x)
    seen = [int(answer["rows"][0, 0]) for answer in found]
    assert seen[5] == 1
    assert max(seen) > 1


def test_the_guilty_of_a_joined_batch_fails_alone(client):
    arrays = [np.full((1, 2), -i if i == 3 else i, np.float32) for i in range(8)]
    found = outcomes([lambda x=x: client.run("batches", {"x": x}) for x in arrays], 8)
    assert "ValueError: negative: -3" in str(found.pop(3))
    arrays.pop(3)
    for x, answer in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(answer["doubled"], 2 * x)


def test_unequal_shapes_are_joined_where_padding_is_told(client):
    arrays = [np.full((1, 1 + i % 4), i, np.float32) for i in range(8)]
    found = outcomes([lambda x=x: client.run("padded", {"x": x}) for x in arrays], 8)
    for x, answer in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(answer["doubled"], 2 * x)  # its own length again
    assert {int(answer["rows"][0, 0]) for answer in found} == {8}


def test_an_option_of_the_call_may_be_given(client):
    x = np.ones((2, 3), np.float32)
    answer = client.run("batches", {"x": x, "times": [[5], [5]]})
    np.testing.assert_array_equal(answer["doubled"], 5 * x)
    with pytest.raises(nosclient.InvalidInput, match="'times' is one value for the whole call"):
        client.run("batches", {"x": x, "times": [[5], [6]]})


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_plain_values_and_the_parts_of_a_dataclass(python_service, protocol):
    url = python_service.http_url if protocol == "http" else f"grpc://{python_service.grpc_url}"
    request = {
        "raw": column(b"ab\0", b"\xff"),
        "n": [[1], [-2]],
        "x": [[0.5], [0.25]],
        "yes": [[True], [False]],
        "words": np.array([["a", "ü"], ["b", ""]], dtype=object),
    }
    with nosclient.Client(url, deadline=30) as client:
        answer = client.run("kinds", request)
    assert answer["raw"].tolist() == [[b"\0ba"], [b"\xff"]]
    assert answer["total"].tolist() == [[1.5], [-1.75]]
    assert answer["truth"].tolist() == [[False], [True]]
    assert answer["words"].tolist() == [[b"A", "Ü".encode()], [b"B", b""]]
    assert answer["counts"].tolist() == [[1, 1], [-2, -2]]


def test_without_a_batch_axis(client):
    assert client.run("whole", {"text": column("a")[0]})["text"].tolist() == [b"A"]


def test_images_in_an_environment_of_their_own(client):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    answer = client.run("images", {"image": column(file.getvalue())})
    np.testing.assert_array_equal(answer["output"][0], pixels)
    with pytest.raises(nosclient.InvalidInput, match="'image': is no image that Pillow can read"):
        client.run("images", {"image": column(b"no image")})
    answer = client.run("images.python", {"text": [["!"]]})
    assert "/environments/" in answer["output"].item().decode()


def test_async_requests_of_one_execution_run_at_the_same_time(client):
    found = outcomes([lambda: client.run("slow", {"text": [["a"]]}) for _ in range(8)], 8)
    spans = [tuple(map(float, a["output"].item().split())) for a in found]
    overlapping = max(sum(b <= begun < e for b, e in spans) for begun, _ in spans)
    assert overlapping >= 2


@pytest.mark.parametrize("method", ["plain", "awaited"])
def test_a_class_calls_other_models(client, method):
    x = np.arange(4, dtype=np.float32)
    answer = client.run(f"caller.{method}", {"x": x[None]})
    np.testing.assert_array_equal(answer["sums"][0], x + 3)
    if method == "plain":
        assert answer["texts"].tolist() == [[b"A", b"B"]]
        assert answer["error"].item() == b"model 'fragile': ValueError: cannot read bad one"
    else:
        assert answer["texts"].tolist() == [[b"C"]]
        assert answer["error"].item().startswith(b"model 'nowhere': ")


@pytest.mark.parametrize("method", ["plain", "awaited"])
def test_a_class_reads_another_models_stream(client, method):
    answer = client.run(f"listener.{method}", {"text": [["a b c"]]})
    assert answer["output"].item() == b"a|b|c"
    with pytest.raises(nosclient.InferenceFailed, match="'speaker': ValueError: told to stop"):
        client.run(f"listener.{method}", {"text": [["a stop b"]]})


@pytest.mark.parametrize("method", ["plain", "awaited"])
def test_a_stream_of_another_model_is_made_as_far_as_it_is_read(client, python_service, method):
    made = Path(python_service.repository).parent / "made"
    made.unlink(missing_ok=True)
    # 100 chunks of 448 KB: many windows of a leg.
    answer = client.run(f"listener.{method}", {"text": [["endless"]], "most": [[100]]})
    assert answer["output"].item() == b"|".join([b"endless"] * 100)
    assert _appears(made)
    assert 100 <= int(made.read_text()) < 120  # no more than the rest of a window


def _appears(file):
    patience = time.monotonic() + 30
    while not (file.exists() and file.read_text()) and time.monotonic() < patience:
        time.sleep(0.05)
    return file.exists()


def test_close_is_called_at_unload_and_the_device_is_given(client, python_service):
    closed = Path(python_service.repository).parent / "closed"
    assert client.run("closing", {"text": [["a"]]})["output"].item() == b"cpu"
    assert not closed.exists()
    client.unload_model("closing")
    assert _appears(closed)
    assert closed.read_text() == "cpu"


def test_a_class_that_cannot_be_made_tells_the_line(client, python_service):
    code = """
    class Model:
        def __init__(self):
            raise OSError("no weights")

        def __call__(self, text: str) -> str:
            return text
    """
    model(Path(python_service.repository), "unmade", code)
    with pytest.raises(nosclient.ModelLoadFailed, match=r"OSError: no weights \(model.py:4\)"):
        client.load_model("unmade")


def test_files_and_prints_are_utf_8_as_in_the_build(client, python_service):
    code = """
    from pathlib import Path

    class Model:
        def __init__(self):
            self.label = Path(__file__).with_name("label.txt").read_text()
            print(f"read {self.label}")

        def __call__(self, text: str) -> str:
            return f"{self.label} {text}"
    """
    repository = Path(python_service.repository)
    model(repository, "accents", code)
    (repository / "accents/1/source/label.txt").write_text("naïve ☃", encoding="utf-8")
    client.load_model("accents")
    [[answer]] = client.run("accents", {"text": [["é"]]})["output"]
    assert answer.decode() == "naïve ☃ é"
    patience = time.monotonic() + 30
    while "read naïve ☃" not in python_service.log_file.read_text(encoding="utf-8"):
        assert time.monotonic() < patience
        time.sleep(0.05)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="no numpy 2 here")
def test_numpy_2_is_refused_loudly(client, python_service):
    code = "class Model:\n    def __call__(self, text: str) -> str:\n        return text\n"
    own = f"""
        parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{sys.prefix}" }} }}
    """
    model(Path(python_service.repository), "modern", code, own)
    with pytest.raises(nosclient.ModelLoadFailed, match=r"numpy 2.* add 'numpy<2' to its requirem"):
        client.load_model("modern")


def test_tracebacks_are_in_tritons_log_and_no_bytecode_beside_the_files(client, python_service):
    with pytest.raises(nosclient.InferenceFailed):
        client.run("fragile", {"text": [["bad log"]]})
    text = "\nValueError: cannot read bad log\n"
    patience = time.monotonic() + 30
    while text not in python_service.log_file.read_text() and time.monotonic() < patience:
        time.sleep(0.05)
    log = python_service.log_file.read_text()
    assert '"fragile: ValueError: cannot read bad log"' in log
    assert 'raise ValueError(f"cannot read {text}")' in log
    assert "nos_python_model/adapter.py" not in log  # from the user's line on
    beside = Path(python_service.repository).rglob("__pycache__")
    assert [place for place in beside if "modern" not in place.parts] == []  # not ours: that Python
