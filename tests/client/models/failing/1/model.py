"""Refuses every request with a reason."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        error = pb_utils.TritonError("the model does not like this number")
        return [pb_utils.InferenceResponse(error=error) for _ in requests]
