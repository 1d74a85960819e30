"""One running stream: the legs that its client sends go in, and whether there is room comes out."""

import threading
import time
from collections import deque

from nos_python_model.arguments import BadInput

POLL_SECONDS = 0.1
"""How often a stream that waits for its reader looks whether that is still there."""


class Stream:
    """The legs of one stream.

    ``id`` is None where its client does not go in legs. ``is_lost``: the call that carried it was
    cancelled, or the connection has ended.

    Args:
        leg: the first.
        waits: has ``wake()``, for any thread, and ``async wait(seconds)``.
        limit: bytes that a client may be sent that does not go in legs; 0 for no limit.
    """

    def __init__(self, leg, waits, limit):
        self.id = leg.stream
        self.leg = leg
        self._waits = waits
        self._limit = limit
        self._further = deque()
        self._lock = threading.Lock()
        self._is_over = self._is_stopped = self.is_lost = False

    def offer(self, leg):
        """One more leg; ended at once where the stream has ended, or shall end."""
        if leg.stops:
            self.stop()
        with self._lock:
            if not (self._is_over or leg.stops):
                self._further.append(leg)
                self._waits.wake()
                return
        leg.end()

    def stop(self):
        """Let it end before its next step."""
        self._is_stopped = True
        self._waits.wake()

    async def may_go_on(self):
        """Waits until the next chunk may be made; False where nobody wants it any more."""
        while not self._is_stopped:
            if self.leg.is_cancelled():
                self.is_lost = True
                return False
            if self.leg.has_room:
                return True
            if self._further:
                full, self.leg = self.leg, self._further.popleft()
                full.hand_over()
            else:
                await self._waits.wait(POLL_SECONDS)
        return False

    async def rest(self, seconds):
        """Wait, whatever happens."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await self._waits.wait(left)

    def send(self, outputs):
        """Send a chunk.

        Raises:
            Unread: to a client that does not go in legs, when it has got as much as it may.
        """
        if self.leg.window is None and self._limit and self.leg.used >= self._limit:
            raise Unread(
                f"stopped after {self._limit >> 20} MiB: Triton keeps all that it sends for one "
                "request until that ends. nosclient's stream() has no such limit; see the "
                "parameters stream_id and stream_window, or set the model's parameter "
                "stream_limit_mib"
            )
        self.leg.send(outputs)

    def end(self, error=None):
        """The last word to the client: an error response, or only that it was all."""
        with self._lock:
            self._is_over = True
        try:
            if error is None:
                self.leg.end()
            else:
                self.leg.fail(error)
        finally:
            for leg in self._further:
                leg.end()


class Unread(BadInput):
    """A stream took up as much of the server's memory as it may."""
