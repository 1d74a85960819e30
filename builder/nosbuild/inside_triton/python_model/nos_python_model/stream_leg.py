"""One Triton request of a stream: what the client asked with it goes in; chunks go out on it."""

import json

import triton_python_backend_utils as pb_utils
from nos_python_model.chunks import LEAST_CHUNK, size
from nos_python_model.stream_failure import FAILS_AS_CHUNK, failure_chunk

ID, WINDOW, LEG, STOP = "stream_id", "stream_window", "stream_leg", "stream_stop"
"""Parameters of a request; see nosclient's _stream_session.py for what they mean."""
UNKNOWN = "unknown stream_id"
"""How the error begins that answers a leg of a stream that nobody runs."""
_MOST_WINDOW = 1 << 26
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class Leg:
    """A request, and how much of its window is used.

    ``stream`` is the stream's id, None where the client does not go in legs; ``window`` is then
    None too, and the chunks have no limit here. ``is_first``: it carries the inputs; ``stops``: its
    stream shall end.
    """

    def __init__(self, request):
        self._sender = request.get_response_sender()
        self.outputs = set(request.requested_output_names())
        parameters = json.loads(request.parameters() or "{}")
        stream, window = parameters.get(ID), parameters.get(WINDOW)
        self.stream = self.window = None
        if isinstance(stream, str) and stream and isinstance(window, int):
            self.stream, self.window = stream, min(max(window, 1), _MOST_WINDOW)
        self.is_first = self.stream is None or not parameters.get(LEG)
        self.stops = not self.is_first and bool(parameters.get(STOP))
        self.used = 0
        self._fails_as_chunk = bool(parameters.get(FAILS_AS_CHUNK))

    @property
    def has_room(self):
        return self.window is None or self.used < self.window

    def is_cancelled(self):
        return self._sender.is_cancelled()

    def send(self, outputs):
        """Send a chunk, output -> array; those that were not asked for are left out."""
        tensors = [
            pb_utils.Tensor(name, array)
            for name, array in outputs.items()
            if name in self.outputs or not self.outputs
        ]
        self._sender.send(pb_utils.InferenceResponse(tensors))
        self.used += max(size(outputs), LEAST_CHUNK)

    def hand_over(self):
        """End the request; its stream goes on in the next leg."""
        self._sender.send(pb_utils.InferenceResponse([]))
        self.end()

    def end(self):
        """End the request, and with it the stream."""
        self._sender.send(flags=_FINAL)

    def fail(self, response):
        """End the request with an error response."""
        if self._fails_as_chunk and self.outputs:
            chunk = failure_chunk(response.error().message())
            tensor = pb_utils.Tensor(min(self.outputs), chunk)
            self._sender.send(pb_utils.InferenceResponse([tensor]))
            self.end()
        else:
            self._sender.send(response, flags=_FINAL)
