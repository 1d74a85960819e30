"""Whether and when a request that failed is sent again: what is safe, how often, and how late.

A budget bounds what all requests of a client together send again, as gRPC's retry throttling and
Finagle's retry budget do: servers that are down or overloaded must not be given a multiple of the
usual traffic.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from nosclient._call import Call
from nosclient._errors import ServerUnavailable

RETRIES = 2
"""Of one request, unless the client was made with another number."""
FIRST_PAUSE_SECONDS = 0.15
LONGEST_PAUSE_SECONDS = 2.0

_CHANGES = ("load_model", "unload_model")
"""What is not sent a second time unless the first never left."""


class RetryBudget:
    """Tokens: a retry takes one, a request brings a fifth of one, a second one up to the reserve.

    So a client sends at most a fifth of its requests again, beyond a reserve and what it saved.
    """

    RATIO = 0.2
    RESERVE = 50.0
    """Enough for the requests in flight of some tens of threads."""
    MOST = 500.0
    """What a busy client saves up: more requests are in flight there, and lost at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = self.RESERVE
        self._filled_at = clock()
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """For a request of the caller's; without the lock, since one that is lost does no harm."""
        tokens = self._tokens + self.RATIO
        self._tokens = tokens if tokens < self.MOST else self.MOST

    def withdraw(self) -> bool:
        """For a retry; False where it must not be made."""
        with self._lock:
            now = self._clock()
            passed, self._filled_at = now - self._filled_at, now
            if self._tokens < self.RESERVE:
                self._tokens = min(self.RESERVE, self._tokens + passed)
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def is_safe(call: Call, error: ServerUnavailable) -> bool:
    """Whether the request may be sent again without doing anything twice that counts.

    One that never left may; so may what only reads, and an inference, which is computed anew. A
    request of a sequence changes a state, and loading and unloading change the server. What stands
    in shared memory may not be sent again as it is: a server that still computes it would write
    into it later (see ``_shared_memory.py``).
    """
    if not error.was_sent:
        return True
    if call.is_in_shared_memory:
        return False
    return call.sequence is None and call.method not in _CHANGES


def pause_seconds(attempt: int) -> float:
    """Before the retry of that number, from 0; half of it by chance, so that clients spread."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**attempt)
    return longest * random.uniform(0.5, 1.0)
