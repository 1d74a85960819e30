"""No batch axis: doubles a number, writes a word in capitals, transposes a matrix."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        x, text, matrix = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("x", "text", "matrix")
        )
        upper = np.array([word.decode().upper().encode() for word in text], dtype=object)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("doubled", x * 2),
                pb_utils.Tensor("upper", upper),
                pb_utils.Tensor("transposed", np.ascontiguousarray(matrix.T)),
            ]
        )
