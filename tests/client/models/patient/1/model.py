"""Sleeps as long as it is told, one request at a time; ``at_work`` is there meanwhile."""

import time
from pathlib import Path

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.at_work = Path(args["model_repository"], "at_work")

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        seconds = pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()
        self.at_work.touch()
        time.sleep(float(seconds.flat[0]))
        self.at_work.unlink()
        return pb_utils.InferenceResponse([pb_utils.Tensor("slept", seconds)])
