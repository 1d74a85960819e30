import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Adds up each sequence's x; fails below 0, and takes its time above 1000."""

    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = int(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()[0, 0])
        sequence, flags = request.correlation_id(), request.flags()
        if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            self.totals[sequence] = 0
        if x >= 0:
            self.totals[sequence] += x
        if x > 1000:
            time.sleep(0.7)
        total = self.totals[sequence]
        if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
            del self.totals[sequence]
        if x < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"x is {x}"))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.array([[value]], np.int64))
                for name, value in (("total", total), ("open", len(self.totals)))
            ]
        )
