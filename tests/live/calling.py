"""The same request over either protocol, with NVIDIA's own clients."""

import threading

import tritonclient.grpc
import tritonclient.http

_TYPES = {"float32": "FP32", "int64": "INT64", "object": "BYTES"}


class Caller:
    """The same call over either protocol, as ``call(model, x=array) -> {name: array}``.

    Each thread gets a client of its own: Triton's HTTP client hangs when threads share it.
    """

    def __init__(self, module, url):
        self.module = module
        self.url = url
        self.own = threading.local()
        self.clients = []

    @property
    def client(self):
        if not hasattr(self.own, "client"):
            self.own.client = self.module.InferenceServerClient(self.url)
            self.clients.append(self.own.client)
        return self.own.client

    def close(self):
        for client in self.clients:
            client.close()

    def __call__(self, model, *, outputs=None, **arrays):
        inputs = []
        for name, array in arrays.items():
            entry = self.module.InferInput(name, array.shape, _TYPES[str(array.dtype)])
            entry.set_data_from_numpy(array)
            inputs.append(entry)
        wanted = [self.module.InferRequestedOutput(name) for name in outputs or ()]
        result = self.client.infer(model, inputs, outputs=wanted or None)
        answer = result.get_response()
        named = answer["outputs"] if isinstance(answer, dict) else answer.outputs
        names = [entry["name"] if isinstance(entry, dict) else entry.name for entry in named]
        return {name: result.as_numpy(name) for name in names}


def call_over(protocol, service):
    if protocol == "grpc":
        return Caller(tritonclient.grpc, service.grpc_url)
    return Caller(tritonclient.http, service.http_url.removeprefix("http://"))
