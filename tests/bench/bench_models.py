"""A model by hand, and a server of a test's own, to be harmed."""

from contextlib import contextmanager

from nosbuild import serve

CODE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
instance_group { count: 1 kind: KIND_CPU }
"""


def write_small(repository, name, code=CODE):
    """A model of 4 floats."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1/model.py").write_text(code)
    (repository / name / "config.pbtxt").write_text(CONFIG)


@contextmanager
def small_server(folder):
    """Triton on one such model, ``small``."""
    write_small(folder, "small")
    with serve(folder, http_port=0, grpc_port=0, metrics_port=0) as service:
        yield service
