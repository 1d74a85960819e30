"""Starting a server: what is wrong is named with its reason, and nothing is left behind."""

import json
import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny_models
from calling import call_over

from nosbuild.errors import HostError, RepositoryError, RequestError
from nosbuild.runtime import running_services, serve

RAISES = """
class TritonPythonModel:
    def initialize(self, args):
        self.read_weights()

    def read_weights(self):
        raise KeyError("no weights here")

    def execute(self, requests):
        return []
"""


@pytest.fixture
def nothing_left():
    """No process and no shared memory of ours is there that was not there before the test."""

    def ours():
        return {
            child.pid
            for child in psutil.Process().children(recursive=True)
            if child.status() != psutil.STATUS_ZOMBIE
        } | {region.name for region in Path("/dev/shm").glob(f"nosbuild-{os.getpid()}-*")}

    before = ours()
    yield
    assert ours() <= before


@pytest.mark.usefixtures("nothing_left")
def test_a_repository_without_models_says_how_to_build_them(tmp_path):
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft/model.yaml").write_text("name: draft")
    with pytest.raises(RepositoryError, match=r"nothing to serve.*\n.*nosbuild build"):
        serve(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RepositoryError, match="absent does not exist"):
        serve(tmp_path / "absent")


def test_a_model_that_is_not_in_the_repository_is_named(tmp_path):
    tiny_models.add_one(tmp_path)
    with pytest.raises(RepositoryError, match="no built model typo; it has add_one"):
        serve(tmp_path, models=["typo"])


@pytest.mark.usefixtures("nothing_left")
def test_every_model_that_does_not_load_is_named_with_its_reason(tmp_path):
    tiny_models.add_one(tmp_path)
    tiny_models.slow(tmp_path, RAISES, "raises")
    tiny_models.add_one(tmp_path, "corrupt")
    (tmp_path / "corrupt/1/model.onnx").write_bytes(b"nonsense")
    tiny_models.add_one(tmp_path, "missing")
    (tmp_path / "missing/1/model.onnx").unlink()
    tiny_models.add_one(tmp_path, "syntax", more="max_batch: 3")
    tiny_models.add_one(tmp_path, "renamed")
    config = (tmp_path / "renamed/config.pbtxt").read_text()
    (tmp_path / "renamed/config.pbtxt").write_text(config.replace('"x"', '"wrong"'))
    tiny_models.add_one(tmp_path, "retyped")
    config = (tmp_path / "retyped/config.pbtxt").read_text()
    (tmp_path / "retyped/config.pbtxt").write_text(config.replace("TYPE_FP32", "TYPE_BF16"))

    # What can be seen without a server is told before one is started.
    with pytest.raises(RepositoryError) as caught:
        serve(tmp_path)
    reasons = dict(re.findall(r"^model '(\w+)': (.*)$", caught.value.message, re.MULTILINE))
    assert set(reasons) == {"missing", "syntax"}
    assert "1/model.onnx: the model file is missing" in reasons["missing"]
    assert 'no field named "max_batch"' in reasons["syntax"]

    with pytest.raises(RepositoryError) as caught:
        serve(tmp_path, models=["add_one", "raises", "corrupt", "renamed", "retyped"])
    reasons = dict(re.findall(r"^model '(\w+)': (.*)$", caught.value.message, re.MULTILINE))
    assert set(reasons) == {"raises", "corrupt", "renamed", "retyped"}
    assert reasons["raises"].startswith("KeyError: 'no weights here' (")
    assert reasons["raises"].endswith("model.py:7 in read_weights)")
    assert "cannot load model.onnx" in reasons["corrupt"]
    assert "'wrong' is not in the ONNX file, which has 'x'" in reasons["renamed"]
    assert "'x' is bfloat16" in reasons["retyped"]
    log = Path(re.search(r"Triton's log: (\S+)", caught.value.remedy)[1])
    assert "no weights here" in log.read_text(), "the log of a failed start is kept"
    log.unlink()


@pytest.mark.usefixtures("nothing_left")
def test_keep_going_serves_what_loads(tmp_path):
    tiny_models.add_one(tmp_path)
    tiny_models.slow(tmp_path, RAISES, "raises")
    tiny_models.add_one(tmp_path, "missing")
    (tmp_path / "missing/1/model.onnx").unlink()
    with serve(tmp_path, keep_going=True) as service:
        assert service.models() == ["add_one"]
        assert set(service.failures) == {"raises", "missing"}
        with pytest.raises(RepositoryError, match="'raises' does not load: KeyError"):
            service.load_model("raises")
        with pytest.raises(RequestError, match="'raises' is not loaded"):
            service.unload_model("raises")


def test_an_earlier_log_of_the_users_is_kept(tmp_path):
    tiny_models.add_one(tmp_path)
    log = tmp_path / "triton.log"
    log.write_text("E0101 address already in use\n")
    with serve(tmp_path, log_file=str(log)):
        assert "address already in use" not in log.read_text()
    assert (tmp_path / "triton.log.1").read_text() == "E0101 address already in use\n"


def test_a_server_that_died_is_told_as_such(tmp_path):
    tiny_models.add_one(tmp_path)
    with serve(tmp_path) as service:
        os.kill(service.pid, signal.SIGKILL)
        service.wait()
        with pytest.raises(HostError, match="does not answer"):
            service.models()


@pytest.mark.usefixtures("nothing_left")
def test_a_port_in_use_is_named(tmp_path):
    tiny_models.add_one(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=rf"port {port} on 127\.0\.0\.1 is in use by .*pid"):
            serve(tmp_path, grpc_port=port)


@pytest.mark.usefixtures("nothing_left")
def test_two_servers_find_ports_of_their_own(tmp_path, service):
    tiny_models.add_one(tmp_path)
    with serve(tmp_path) as second:
        urls = {service.http_url, service.grpc_url, second.http_url, second.grpc_url}
        assert len(urls) == 4
        assert second.models() == ["add_one"]
        assert {record.pid for record in running_services()} >= {service.pid, second.pid}
        with urllib.request.urlopen(second.metrics_url) as answer:
            assert b"nv_inference_request_success" in answer.read()
    assert second.pid not in {record.pid for record in running_services()}


@pytest.mark.usefixtures("nothing_left")
def test_options_that_triton_does_not_know_are_reported_with_its_words(tmp_path):
    tiny_models.add_one(tmp_path)
    with pytest.raises(HostError, match="no-such-option") as caught:
        serve(tmp_path, triton_options=["--no-such-option"])
    Path(re.search(r"Triton's log: ([^;\s]+)", caught.value.remedy)[1]).unlink()


@pytest.mark.usefixtures("nothing_left")
def test_only_the_models_asked_for_are_loaded_and_the_log_goes_where_told(tmp_path):
    repository = tmp_path / "repository"
    tiny_models.add_one(repository)
    tiny_models.scalar(repository)
    log = tmp_path / "logs/triton.log"
    said = []
    with serve(repository, models=["scalar"], log_file=log, on_progress=said.append) as service:
        assert service.models() == ["scalar"]
    assert "successfully loaded 'scalar'" in log.read_text()
    assert "Loading scalar" in said


@pytest.mark.usefixtures("nothing_left")
def test_a_response_cache_that_a_model_asks_for_works(tmp_path):
    tiny_models.add_one(tmp_path, more="response_cache { enable: true }")
    with serve(tmp_path) as service:
        caller = call_over("grpc", service)
        for _ in range(3):
            caller("add_one", x=np.ones((1, 4), np.float32))
        patience = time.monotonic() + 60
        hits = -1
        while hits < 2 and time.monotonic() < patience:  # it counts after it has answered
            stats = caller.client.get_inference_statistics("add_one", as_json=True)
            (entry,) = stats["model_stats"]
            hits = int(entry["inference_stats"]["cache_hit"].get("count", 0))
        caller.close()
    assert hits == 2


@pytest.mark.usefixtures("nothing_left")
def test_a_model_may_leave_its_config_to_triton_to_complete(tmp_path):
    code = """
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [1]})
        config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [1]})
        return config

    def execute(self, requests):
        return []
"""
    (tmp_path / "bare/1").mkdir(parents=True)
    (tmp_path / "bare/1/model.py").write_text(code)
    (tmp_path / "bare/config.pbtxt").write_text('backend: "python"')
    with (
        serve(tmp_path) as service,
        urllib.request.urlopen(f"{service.http_url}/v2/models/bare") as answer,
    ):
        assert [entry["name"] for entry in json.load(answer)["inputs"]] == ["x"]


def test_its_client_runs_models(service):
    with service.client() as client:
        x = np.ones((2, 4), np.float32)
        np.testing.assert_array_equal(client.run("add_one", {"x": x})["y"], x + 1)


@pytest.mark.usefixtures("nothing_left")
def test_the_log_is_echoed_when_asked(tmp_path, capsys):
    tiny_models.add_one(tmp_path)
    with serve(tmp_path, verbose=True):
        pass
    assert "successfully loaded 'add_one'" in capsys.readouterr().err


def test_nothing_is_written_into_the_repository(repository, service):
    assert not list(repository.rglob("__pycache__"))
