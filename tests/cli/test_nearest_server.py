"""Which of several servers a command asks that names none."""

import json

import pytest

from nosbuild import serve

pytestmark = pytest.mark.live

CODE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in tensors]
"""
CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("several")
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    running = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSBUILD_CACHE", str(cache))
        try:
            for name in ("first", "second"):
                model = folder / name / "served" / f"{name}_model"
                (model / "1").mkdir(parents=True)
                (model / "1/model.py").write_text(CODE)
                (model / "config.pbtxt").write_text(CONFIG)
                running.append(serve(model.parent, **ports))
            yield folder
        finally:
            for service in running:
                service.stop()


def repository_of(done):
    return json.loads(done.out)["service"]["repository"]


def test_the_one_below_the_current_folder(servers, run_in):
    for name in ("first", "second"):
        for place in (servers / name, servers / name / "served"):
            done = run_in(place, "status", "--json")
            assert repository_of(done) == str(servers / name / "served")


def test_otherwise_the_one_with_the_model(servers, run_in, tmp_path):
    for name in ("first", "second"):
        done = run_in(tmp_path, "run", f"{name}_model", "--random", "--json")
        assert done.code == 0, done.err


def test_an_error_says_who_was_asked(servers, run_in):
    done = run_in(servers / "first", "run", "second_model", "--random")
    said = done.failed(3)
    assert "asked was 127.0.0.1:" in said
    assert str(servers / "first" / "served") in said
    assert "--url" in said
