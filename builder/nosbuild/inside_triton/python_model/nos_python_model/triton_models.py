"""Calls of other models by a class that runs inside Triton: its business logic scripting."""

import asyncio

import triton_python_backend_utils as pb_utils
from nos_python_model.models import ModelCallError
from nos_python_model.stream_failure import FAILS_AS_CHUNK, failure_in


class TritonTransport:
    """Arrays go to another model of the same server, and its arrays come back."""

    def call(self, name, inputs):
        return _outputs(name, _sent(name, inputs).exec())

    async def call_async(self, name, inputs):
        return _outputs(name, await _sent(name, inputs).async_exec())

    def stream(self, name, inputs):
        return Chunks(name, inputs)


class Chunks:
    """What a model that streams answers: for ``for`` and for ``async for``."""

    def __init__(self, name, inputs):
        self._name = name
        request = _sent(name, inputs, parameters={FAILS_AS_CHUNK: True})
        self._responses = iter(request.exec(decoupled=True))

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            answer = _outputs(self._name, next(self._responses))
            if (failure := failure_in(answer)) is not None:
                raise ModelCallError(f"model {self._name!r}: {failure}")
            if answer:  # the last response may hold nothing but the word that it is the last
                return answer

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await asyncio.to_thread(self._next)
        except _NoMore:
            raise StopAsyncIteration from None

    def _next(self):
        try:
            return next(self)
        except StopIteration:  # cannot leave a thread
            raise _NoMore from None


class _NoMore(Exception):
    """The stream has ended."""


def _sent(name, inputs, **more):
    try:
        return pb_utils.InferenceRequest(
            model_name=name,
            requested_output_names=[],  # all that there are
            inputs=[pb_utils.Tensor(key, array) for key, array in inputs.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            **more,
        )
    except Exception as error:
        raise ModelCallError(f"model {name!r}: {error}") from error


def _outputs(name, response):
    if response.has_error():
        raise ModelCallError(f"model {name!r}: {response.error().message()}")
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
