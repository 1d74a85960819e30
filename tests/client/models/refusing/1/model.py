"""Refuses with the error code whose name it is given; "" answers with the names of all."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        # Not at the module's level: the class is not there yet while the model is loaded.
        codes = {name: getattr(pb_utils.TritonError, name) for name in dir(pb_utils.TritonError)}
        codes = {name: code for name, code in codes.items() if name.isupper()}
        name = pb_utils.get_input_tensor_by_name(request, "code").as_numpy()[0].decode()
        if name:
            error = pb_utils.TritonError("as it was told to", codes[name])
            return pb_utils.InferenceResponse(error=error)
        names = np.array(sorted(codes), dtype=object)
        return pb_utils.InferenceResponse([pb_utils.Tensor("codes", names)])
