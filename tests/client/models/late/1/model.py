"""Gives back twice what it got, 2 MiB, after as long as it is told."""

import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        x, seconds = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("x", "seconds")
        )
        time.sleep(float(seconds[0]))
        if seconds[0] < 0:
            raise ValueError("there is no time before now")
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", 2 * x)])
