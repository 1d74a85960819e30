"""Models for a server that loads on demand: small, quick to load, and large enough to count."""

from __future__ import annotations

import tiny_models

MIB = 1 << 20

CODE = '''
import triton_python_backend_utils as pb_utils

BALLAST = bytearray(b"x") * (24 << 20)


class TritonPythonModel:
    """y = 2x, in a process that is worth its unloading."""

    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * 2)]))
        return responses
'''

BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise KeyError("no weights here")

    def execute(self, requests):
        return []
"""

STREAMING = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            for step in range(3):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("y", x + step)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

ENSEMBLE = """
name: "twice"
platform: "ensemble"
max_batch_size: 16
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
ensemble_scheduling {
  step { model_name: "first" model_version: -1
    input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } }
  step { model_name: "second" model_version: -1
    input_map { key: "x" value: "between" } output_map { key: "y" value: "y" } }
}
"""


def repository(folder, names):
    """Models that double, and: twice (of first and second), broken, ticker (it streams)."""
    for name in (*names, "first", "second"):
        tiny_models.slow(folder, CODE, name)
    tiny_models.slow(folder, BROKEN, "broken")
    policy = "model_transaction_policy { decoupled: true }"
    tiny_models.slow(folder, STREAMING, "ticker", more=policy)
    (folder / "twice/1").mkdir(parents=True)
    (folder / "twice/config.pbtxt").write_text(ENSEMBLE)
    return folder
