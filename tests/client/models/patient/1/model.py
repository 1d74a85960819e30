"""Sleeps as long as it is told; one request at a time, one more may wait."""

import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        seconds = pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()
        time.sleep(float(seconds.flat[0]))
        return pb_utils.InferenceResponse([pb_utils.Tensor("slept", seconds)])
