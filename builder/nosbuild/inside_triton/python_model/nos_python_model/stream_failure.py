"""An error that ends a stream, as a chunk of it: for models that read the streams of other models.

Triton 24.10 loses an error response to a call by another model where chunks went before it: the
caller sees a stream that ended as it should, or waits for ever. A caller that knows of this asks
for errors as chunks, in the request's parameters, and tells them by their first string.
"""

import numpy as np

FAILS_AS_CHUNK = "stream_fails_as_chunk"
"""The request's parameter."""
_MARK = b"\0nos_python_model: the stream failed\0"


def failure_chunk(message):
    """The tensor that says so, whatever the output's own dtype is."""
    chunk = np.empty(2, dtype=object)
    chunk[:] = [_MARK, message.encode()]
    return chunk


def failure_in(outputs):
    """The error's message, where one of the outputs holds it; otherwise None."""
    for array in outputs.values():
        if array.dtype == np.object_ and array.size == 2 and array.reshape(-1)[0] == _MARK:
            return array.reshape(-1)[1].decode()
    return None
