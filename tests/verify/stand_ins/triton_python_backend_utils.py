"""What Triton's stub gives to a backend, as far as ours call it."""


class TritonModelException(Exception):
    pass


class TritonError(Exception):
    pass


class Tensor:
    def __init__(self, name, array):
        self.name = name
        self.array = array

    def as_numpy(self):
        return self.array


class InferenceRequest:
    def __init__(self, **arrays):
        self.tensors = {name: Tensor(name, array) for name, array in arrays.items()}

    def requested_output_names(self):
        return ["y"]


class InferenceResponse:
    def __init__(self, output_tensors=(), error=None):
        self.output_tensors = output_tensors
        self.error = error


def get_input_tensor_by_name(request, name):
    return request.tensors.get(name)
