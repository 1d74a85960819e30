"""Ticks as often as it is told, as any decoupled model does that knows nothing of nosclient.

Past the tick with the number of the parameter "fails_at" it fails; with "last_with_chunk" the last
tick is the final response itself.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            arguments = (request.get_response_sender(), inputs, json.loads(request.parameters()))
            threading.Thread(target=self._tick, args=arguments, daemon=True).start()

    def _tick(self, sender, inputs, parameters):
        n, seconds = int(inputs["n"][0]), float(inputs.get("seconds", [0])[0])
        for number in range(n):
            if sender.is_cancelled():
                break
            if number == parameters.get("fails_at"):
                error = pb_utils.TritonError("does not like this number")
                sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)
                return
            tensors = [pb_utils.Tensor("tick", np.array([number]))]
            if "echo" in inputs:
                tensors.append(pb_utils.Tensor("echoed", inputs["echo"]))
            response = pb_utils.InferenceResponse(tensors)
            if number == n - 1 and parameters.get("last_with_chunk"):
                sender.send(response, flags=FINAL)
                return
            sender.send(response)
            time.sleep(seconds)
        sender.send(flags=FINAL)
