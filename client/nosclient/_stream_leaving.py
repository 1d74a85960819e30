"""The answers that still come to a stream that nobody reads go in; what is left to do comes out.

A stream may be left by cancelling its gRPC call. Triton 24.10 may crash at that (pull requests 7840
and 8078 of its server), or keep the request for ever, so that its model cannot be unloaded. So the
model is asked to stop, where it can be (``Call.farewell``), what still comes is read and dropped,
and the call ends in the regular way.
"""

from __future__ import annotations

from typing import Literal

from nosclient._call import Call, Chunk

NO_STREAM = "unknown stream_id"
"""How the answer begins of an instance of the model that does not find the stream."""
AGAIN_SECONDS = 0.1
_ATTEMPTS = 20


class Leaving:
    """What one stream has yet to do."""

    def __init__(self, farewell: Call) -> None:
        self.farewell = farewell
        self._attempts = 1

    def after(self, chunk: Chunk) -> Literal["wait", "again", "finish", "cancel"]:
        """Read on, ask once more, send no more requests, or cancel after all."""
        if chunk.request_id != self.farewell.request_id:
            return "wait"
        if not chunk.error:
            return "finish"
        # Two instances: the farewell was faster than the request that begins the stream.
        self._attempts += 1
        is_late = chunk.error.startswith(NO_STREAM) and self._attempts <= _ATTEMPTS
        return "again" if is_late else "cancel"
