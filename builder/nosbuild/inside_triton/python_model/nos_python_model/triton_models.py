"""Calls of other models by a class that runs inside Triton: its business logic scripting."""

import asyncio
import secrets
import sys

import triton_python_backend_utils as pb_utils
from nos_python_model.chunks import LEAST_CHUNK, size
from nos_python_model.ended_streams import EndedStreams, Responses
from nos_python_model.models import ModelCallError
from nos_python_model.stream_failure import FAILS_AS_CHUNK, failure_in
from nos_python_model.stream_leg import ID, LEG, STOP, WINDOW

_WINDOW = 1 << 20


class TritonTransport:
    """Arrays go to another model of the same server, and its arrays come back.

    ``ended``: the streams that were read; who executes requests releases them.
    """

    def __init__(self):
        self.ended = EndedStreams()

    def call(self, name, inputs):
        return _outputs(name, _sent(name, inputs).exec())

    async def call_async(self, name, inputs):
        return _outputs(name, await _sent(name, inputs).async_exec())

    def stream(self, name, inputs, in_legs):
        return Chunks(name, inputs, in_legs, self.ended)


class Chunks:
    """What a model that streams answers: for ``for`` and for ``async for``.

    Where the model goes in legs (see stream_leg.py), it makes no more than is read, and ends when
    this is closed or dropped. Triton would keep whatever another sends, read or not.
    """

    def __init__(self, name, inputs, in_legs, ended):
        self._is_over = True  # as long as it has not begun
        self._name = name
        self._inputs = inputs
        self._ended = ended
        self._parameters = {FAILS_AS_CHUNK: True}
        if in_legs:
            self._parameters.update({ID: secrets.token_hex(16), WINDOW: _WINDOW})
        self._in_legs = in_legs
        self._number = 0
        self._following = None  # the next leg's responses
        self._read = self._empty = 0  # of this leg: bytes, responses without outputs
        self._responses = self._leg(0)
        self._is_over = False

    def __iter__(self):
        return self

    def __next__(self):
        while not self._is_over:
            if self._in_legs and self._read >= _WINDOW and self._following is None:
                # Not before more is wanted: this returns with the next leg's first response.
                self._following = self._leg(self._number + 1)
            response = self._responses.next()
            if response is None:
                self._end_leg()
                continue
            answer = self._answer(response)
            if answer:
                self._read += max(size(answer), LEAST_CHUNK)
                return answer
            self._empty += 1
        raise StopIteration

    def close(self):
        """Let the model end it before its next step; again is harmless."""
        if not self._is_over:
            self._leave()
            if self._in_legs:
                self._ended.drain(self._leg(self._number + 1, {STOP: 1}))

    def __del__(self):
        if not sys.is_finalizing():
            self.close()

    def _leg(self, number, more=None):
        parameters = {**self._parameters, LEG: number, **(more or {})}
        request = _sent(self._name, self._inputs, parameters=parameters)
        return Responses(request.exec(decoupled=True))

    def _answer(self, response):
        try:
            answer = _outputs(self._name, response)
            if (failure := failure_in(answer)) is not None:
                raise ModelCallError(f"model {self._name!r}: {failure}")
        except BaseException:
            self._leave()
            raise
        return answer

    def _leave(self):
        """Nobody will read what may still come."""
        self._is_over = True
        for responses in (self._responses, self._following):
            if responses is not None:
                self._ended.drain(responses)

    def _end_leg(self):
        """A leg ends with one empty response, after another where the stream goes on."""
        self._ended.keep(self._responses)
        if self._following is not None and self._empty > 1:
            self._responses, self._following = self._following, None
            self._number += 1
            self._read = self._empty = 0
        else:
            self._is_over = True
            if self._following is not None:
                self._ended.drain(self._following)

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
