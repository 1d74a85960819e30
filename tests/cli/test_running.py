"""``run``, ``status`` and ``serve`` beside a running Triton."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from nosbuild.errors import RepositoryError
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder
from nosclient import InferenceFailed

pytestmark = pytest.mark.live

MODELS = Path(__file__).parents[1] / "client/models"
FRAGILE = """
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
            if (texts == b"die").any():
                os._exit(3)
            sizes = np.array([[len(text)] for text in texts[:, 0]], np.int64)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("size", sizes)]))
        return answers
"""
FRAGILE_CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "text" data_type: TYPE_STRING dims: 1 }
output { name: "size" data_type: TYPE_INT64 dims: 1 }
instance_group { count: COUNT kind: KIND_CPU }
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    from nosbuild import serve

    repository = tmp_path_factory.mktemp("cli")
    for model in ("echo", "broken", "ticker"):
        shutil.copytree(MODELS / model, repository / model)
    for model, instances in (("fragile", "1"), ("fragile_pair", "2")):
        (repository / model / "1").mkdir(parents=True)
        (repository / model / "1/model.py").write_text(FRAGILE)
        config = FRAGILE_CONFIG.replace("COUNT", instances)
        (repository / model / "config.pbtxt").write_text(config)
    (repository / "unbuilt").mkdir()
    (repository / "unbuilt/model.yaml").write_text("name: unbuilt\n")
    with serve(repository, keep_going=True) as running:
        yield running


@pytest.fixture
def send(nosbuild, service, tmp_path):
    """Runs ``echo`` on a file with that content."""

    def run(name, content, *options, **environment):
        (tmp_path / name).write_bytes(content)
        arguments = ("run", "echo", "--url", service.grpc_url, "--input", name, *options)
        return nosbuild(*arguments, **environment)

    return run


def test_a_server_that_keeps_going_is_ready(service):
    assert list(service.failures) == ["broken"]
    with service.client() as client:
        assert client.is_ready()
        assert client.is_ready("echo")
        assert not client.is_ready("broken")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"int64": [[1, 2]], "fp32": [[1, 2.5]]}, {"int64": [[1, 2]], "fp32": [[1, 2.5]]}),
        ({"int64": [1, 2], "string": ["a"]}, {"int64": [[1, 2]], "string": [["a"]]}),
        ([{"int64": [1, 2]}, {"int64": [3, 4]}], {"int64": [[1, 2], [3, 4]]}),
    ],
)
def test_json_is_sent_and_a_bare_item_gets_its_batch_axis(send, content, expected):
    done = send("x.json", json.dumps(content).encode(), "--json")
    assert done.json == {f"{name}_out": values for name, values in expected.items()}


def test_numpy_files_are_sent(send, tmp_path):
    np.savez(tmp_path / "made.npz", int64=np.arange(3), fp32=np.ones((1, 2), np.float32))
    done = send("x.npz", (tmp_path / "made.npz").read_bytes(), "--json")
    assert done.json == {"int64_out": [[0, 1, 2]], "fp32_out": [[1.0, 1.0]]}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", b'{"int64": [[1, 2.5, 3]]}', "fractional numbers; INT64 takes whole numbers"),
        ("x.json", b'{"int64": [[1, 2], [3]]}', "input 'int64' is ragged"),
        ("x.json", b'{"int46": [[1]]}', "no input is named 'int46'"),
        ("x.json", b'{"int64": [[1,\n 2 3]]}', "x.json:2:4: no JSON: Expecting ',' delimiter"),
        ("x.json", b'[{"int64": [1]}, 3]', "item 1 differs from item 0"),
        ("x.json", b"[1]", "bare rows, but the model has 13 inputs"),
        ("x.json", b"\x93\xff", "no text, hence no JSON"),
        ("x.npz", b"nothing", "x.npz is no npz file"),
        ("x.npy", b"", "x.npy is no npy file"),
    ],
)
def test_requests_that_are_refused(send, name, content, words):
    assert words in send(name, content).failed(3)


def test_a_file_that_is_not_there(nosbuild, service):
    options = ("--url", service.grpc_url, "--input", "gone.json")
    assert "gone.json: there is no such file" in nosbuild("run", "echo", *options).failed(3)


@pytest.mark.parametrize(
    ("name", "content", "sizes"),
    [
        ("x.json", b'{"text": ["I love", "bad"]}', [6, 3]),
        ("x.json", b'[{"text": "I love"}, {"text": "bad"}]', [6, 3]),
        ("x.json", b'["I love", "bad"]', [6, 3]),
        ("x.json", b'{"text": [["I love"], ["bad"]]}', [6, 3]),
        ("x.json", b'{"text": "I love"}', [6]),
        ("photo.jpg", b"\xff\xd8\xff\x00", [4]),
        ("note.txt", b"I love it", [9]),
    ],
)
def test_one_string_an_item(nosbuild, service, tmp_path, name, content, sizes):
    (tmp_path / name).write_bytes(content)
    arguments = ("run", "fragile", "--url", service.grpc_url, "--input", name)
    assert nosbuild(*arguments, "--json").json == {"size": [[size] for size in sizes]}
    assert f"string[{len(sizes)}, 1]" in nosbuild(*arguments).out  # the shape that was sent


@pytest.mark.parametrize(("n", "counted"), [(0, "0 chunks, "), (1, "1 chunk, "), (2, "2 chunks, ")])
def test_a_stream_tells_how_many_chunks_came(nosbuild, service, tmp_path, n, counted):
    (tmp_path / "x.json").write_text(json.dumps({"n": [n]}))
    ran = nosbuild("run", "ticker", "--url", service.grpc_url, "--input", "x.json")
    assert ran.out.splitlines()[-1].startswith(counted)
    assert f"[{n}]" in ran.out, "what was sent is shown, whatever came"


@pytest.fixture
def beside(nosbuild):
    """Runs the command line with the cache in which the service is known."""

    def run(*arguments):
        return nosbuild(*arguments, **{CACHE_VARIABLE: str(cache_folder())})

    return run


def workers(service, instance):
    """Processes that run that instance."""
    children = psutil.Process(service.pid).children()
    told = [c.cmdline() for c in children if c.status() != psutil.STATUS_ZOMBIE]
    return sum(instance in line for line in told)


def test_loading_brings_back_a_worker_that_ended(beside, service):
    def lose_it():
        with pytest.raises(InferenceFailed, match=r"unload_model\('fragile'\) and then load_model"):
            client.run("fragile", {"text": "die"})
        assert workers(service, "fragile_0_0") == 0
        assert client.is_ready("fragile")

    def answers():
        assert client.run("fragile", {"text": ["a", "bc"]})["size"].tolist() == [[1], [2]]
        assert workers(service, "fragile_0_0") == 1

    with service.client() as client:
        lose_it()
        service.load_model("fragile")
        answers()
        lose_it()
        loaded = beside("load", "fragile", "--url", service.grpc_url)
        assert loaded.out.splitlines() == [
            "a worker process of fragile had ended: unloaded first",
            "fragile is loaded",
        ]
        answers()
        again = beside("load", "fragile", "--url", service.grpc_url)
        assert again.out.splitlines() == ["fragile is loaded"]
        answers()


def test_one_worker_of_several_that_ended_is_missed(service):
    with service.client() as client:
        with pytest.raises(InferenceFailed, match="is not healthy"):
            client.run("fragile_pair", {"text": "die"})
        service.load_model("fragile_pair")
        for _ in range(8):
            assert client.run("fragile_pair", {"text": "bc"})["size"].tolist() == [[2]]


@pytest.mark.parametrize(
    ("name", "found", "remedy"),
    [
        ("unbuilt", "model 'unbuilt' is not built yet", "nosbuild build "),
        ("fragil", "has no model 'fragil'", "did you mean 'fragile'?"),
        ("zzz", "has no model 'zzz'", "It has: broken, echo, fragile, fragile_pair, ticker,"),
    ],
)
def test_loading_what_is_not_there(beside, service, name, found, remedy):
    refused = beside("load", name, "--url", service.grpc_url).failed(3)
    assert found in refused
    assert remedy in refused
    with pytest.raises(RepositoryError, match=found):
        service.load_model(name)


def test_wide_and_long_arrays_fit_the_screen(send):
    rows = [[1000000 * i + j for j in range(7)] for i in range(7)]
    text = ["word" * 100] * 40
    content = {"int64": rows, "string": [text] * 7, "fp64": [[0.5]] * 7}
    shown = send("x.json", json.dumps(content).encode(), COLUMNS="80")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    # Every row of numbers stands on a line of its own.
    assert sum(line.count("]") == 1 for line in lines if "1000000 " in line) == 2
    assert len(lines) <= 2 + 6 * 9


def test_tables_are_not_padded_where_nobody_looks(nosbuild, service):
    for arguments in (("status", "--url", service.grpc_url), ("doctor",), ("hub",)):
        lines = nosbuild(*arguments).out.splitlines()
        assert len(lines) > 1
        assert all(line == line.rstrip() for line in lines)


def test_status_says_that_warm_up_counts(nosbuild, service):
    shown = nosbuild("status", "--url", service.grpc_url).out
    assert "warm-up requests are counted too" in shown
    assert "An error that Python code answers with" in shown
    assert "weights are missing (" in shown, "why a model is not loaded, without Triton's words"


@pytest.fixture
def taken_port():
    """Somebody has the default port: that service, or whoever else, or this test."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        yield


@pytest.mark.usefixtures("taken_port")
def test_a_second_service_says_who_has_the_ports(nosbuild, service, tmp_path):
    shutil.copytree(MODELS / "echo", tmp_path / "model_repository/echo")
    environment = {CACHE_VARIABLE: str(cache_folder())}
    with subprocess.Popen(
        [Path(sys.executable).with_name("nosbuild"), "serve"],
        cwd=tmp_path,
        env={**os.environ, **environment, "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as second:
        try:
            said = []
            for line in second.stdout:
                said.append(line.strip())
                if "Ctrl-C stops it" in line:
                    break
            (taken,) = [line for line in said if "port 8000" in line]
            assert taken.startswith("taken by ")
            if service.ports.http == 8000:
                assert f"by the service on {service.repository} (pid {service.pid})" in taken

            shown = nosbuild("status", **environment)
            assert shown.code == 0, "\n".join(said)
            (here, *_) = shown.out.splitlines()
            assert str(tmp_path / "model_repository") in here
            others = [line for line in shown.out.splitlines() if "not shown:" in line]
            assert any(
                str(service.repository) in line and f"--url {service.grpc_url}" in line
                for line in others
            )
            listed = nosbuild("status", "--json", **environment).json
            assert service.pid in [other["pid"] for other in listed["others"]]
        finally:
            second.send_signal(signal.SIGTERM)
