"""Which of several servers a request goes to; the outcomes of earlier ones go in.

The servers are numbered. A request goes to the one with the fewest requests in flight, to each in
turn where they are equal: one thread goes round, and many give a slow server less. A server that
was lost rests for a time that grows with each failure, and is then asked whether it is ready before
it is given a request. One that let a deadline pass is asked at once: it may hang, or its model may
only be slow. No socket and no clock here but the one given.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

FIRST_REST_SECONDS = 0.25
LONGEST_REST_SECONDS = 10.0
LONGEST_PROBE_SECONDS = 1.0
SHORTEST_PROBE_SECONDS = 0.2
"""What had less time for its answer shows nothing of whether it hangs."""
MISSING_SECONDS = 1.0
"""How long a server is spared requests to a model that another has and it has not."""

State = Literal["works", "rests", "is to be probed"]


@dataclass
class _Server:
    in_flight: int = 0
    failures: int = 0
    """One after the other."""
    rests_until: float = 0.0
    probed_until: float = 0.0
    """While somebody asks it whether it is back, the others leave it alone."""
    is_doubted: bool = False
    """It let a deadline pass and has answered nothing since."""

    def is_left_alone(self, now: float) -> bool:
        return max(self.rests_until, self.probed_until) > now


class Endpoints:
    """Safe to share between threads."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = [_Server() for _ in range(count)]
        self._missing: dict[tuple[int, str], float] = {}
        self._clock = clock
        self._turn = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._servers)

    def pick(self, model: str = "", avoid: Collection[int] = ()) -> int:
        """The server for the next request; one to avoid only where all are.

        A server whose rest is over comes first, for one request: ``state`` tells to probe it.
        """
        if len(self._servers) == 1:
            return 0
        with self._lock:
            now = self._clock()
            self._turn += 1
            ranked = []
            for offset in range(len(self._servers)):
                number = (self._turn + offset) % len(self._servers)
                server = self._servers[number]
                rests = server.is_left_alone(now)
                lacks = bool(model) and self._missing.get((number, model), 0.0) > now
                to_probe = bool(server.failures) and not rests
                due = server.rests_until if rests else 0.0
                rank = (number in avoid, rests, lacks, due, not to_probe, server.in_flight, offset)
                ranked.append((rank, number))
            return min(ranked)[1]

    def state(self, number: int) -> State:
        """Whether a server may be given a request, for who asks: one is told to probe, not two."""
        server = self._servers[number]
        if not (server.failures or server.is_doubted):
            return "works"
        with self._lock:
            now = self._clock()
            if not (server.failures or server.is_doubted):
                return "works"
            if server.is_left_alone(now):
                return "rests"
            server.probed_until = now + LONGEST_PROBE_SECONDS
            return "is to be probed"

    def living(self) -> list[int]:
        """Those that do not rest; all where all do."""
        with self._lock:
            now = self._clock()
            awake = [n for n, server in enumerate(self._servers) if not server.is_left_alone(now)]
        return awake or list(range(len(self._servers)))

    def has_other(self, tried: Collection[int]) -> bool:
        """Whether there is a server that works beside those."""
        return any(
            number not in tried and not server.failures and not self._is_asked(server)
            for number, server in enumerate(self._servers)
        )

    def _is_asked(self, server: _Server) -> bool:
        """Whether somebody asks it just now whether it hangs."""
        return server.is_doubted and server.probed_until > self._clock()

    def sent(self, number: int) -> None:
        """A request is on its way."""
        with self._lock:
            self._servers[number].in_flight += 1

    def done(self, number: int) -> None:
        """It is not any more."""
        with self._lock:
            self._servers[number].in_flight -= 1

    def worked(self, number: int) -> bool:
        """The server answered, whatever it said; True where it was lost before."""
        server = self._servers[number]
        if not (server.failures or server.is_doubted):
            return False  # without the lock as a rule: this is asked for every request
        with self._lock:
            was_lost = server.failures > 0
            server.failures, server.rests_until, server.probed_until = 0, 0.0, 0.0
            server.is_doubted = False
        return was_lost

    def undecided(self, number: int) -> None:
        """Who asked it had no time to wait for its answer: the next one may ask."""
        self._servers[number].probed_until = 0.0

    def doubt(self, number: int) -> None:
        """The server let a deadline pass."""
        self._servers[number].is_doubted = True

    def is_lost(self, number: int) -> bool:
        """Whether it was not reached when it was last asked."""
        return self._servers[number].failures > 0

    def failed(self, number: int) -> bool:
        """The server was not reached, or its connection was lost; True if it worked before."""
        server = self._servers[number]
        with self._lock:
            now = self._clock()
            server.probed_until = 0.0
            if server.rests_until > now:
                return False  # one failure, seen by several requests at once
            server.failures += 1
            rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** (server.failures - 1))
            server.rests_until = now + rest * random.uniform(0.8, 1.2)
            return server.failures == 1

    def lacks(self, number: int, model: str) -> None:
        """The server does not have a model that another one has."""
        with self._lock:
            self._missing[number, model] = self._clock() + MISSING_SECONDS
