"""``run``, ``status`` and ``serve`` beside a running Triton."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nosbuild.store.folders import CACHE_VARIABLE, cache_folder

pytestmark = pytest.mark.live

MODELS = Path(__file__).parents[1] / "client/models"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    from nosbuild import serve

    repository = tmp_path_factory.mktemp("cli")
    for model in ("echo", "broken"):
        shutil.copytree(MODELS / model, repository / model)
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
    assert "weights are missing (" in shown, "why a model is not loaded, without Triton's words"


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
