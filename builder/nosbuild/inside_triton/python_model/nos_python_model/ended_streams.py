"""Streams of other models that were read, kept until Triton has let go of them as well.

Triton 24.10 lets go of a stream in a thread that does not hold the interpreter's lock. Were its
reference the last, that thread would free Python's objects while others run, and the worker would
crash. Its thread takes one message after the other, and the question whether a request is cancelled
is one of them: what had ended before that question was asked is free once it is answered.
"""

import threading
from collections import deque


class Responses:
    """What one request is answered; one thread at a time reads it.

    Args:
        iterator: Triton's, whose own ``next`` may wait for ever where two threads call it.
    """

    def __init__(self, iterator):
        self._iterator = iterator
        self._lock = threading.Lock()

    def next(self):
        """The next response; None after the last, however often."""
        with self._lock:
            return next(self._iterator, None)


class EndedStreams:
    """The streams that ended since ``release`` was last called; for any number of threads."""

    def __init__(self):
        self._ended = deque()

    def keep(self, responses):
        """Responses that were read to their end."""
        self._ended.append(responses)

    def drain(self, responses):
        """Read to their end responses that nobody wants: Triton holds them until somebody does."""
        threading.Thread(target=self._read, args=(responses,), daemon=True).start()

    def release(self, carriers):
        """Drop those that ended so far.

        Args:
            carriers: requests or response senders that are not answered yet, each asked by no
                other thread. One that is cancelled is of no use: Triton does not ask again.
        """
        if not self._ended:
            return
        ended = []
        while self._ended:
            try:
                ended.append(self._ended.popleft())
            except IndexError:  # another thread took it
                break
        is_answered = False
        try:
            is_answered = not all(carrier.is_cancelled() for carrier in carriers)
        finally:
            if not is_answered:
                self._ended.extend(ended)

    def _read(self, responses):
        try:
            while responses.next() is not None:
                pass
        finally:
            self.keep(responses)
