"""What a load is, as plain values: they travel to the processes that make it, and back.

Only the standard library is imported here: the processes start quickly.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nosbuild.runtime.server_access import Access


@dataclass(frozen=True)
class Level:
    """One load: so many callers (closed loop), or so many requests a second (open loop)."""

    concurrency: int = 0
    """Callers, each of which sends its next request when the last one is answered; 0 in an open
    loop."""
    rate: float = 0.0
    """Requests a second that leave whether or not the earlier ones are answered; 0 in a closed
    loop."""
    arrivals: Literal["constant", "poisson"] = "constant"
    """Of an open loop: at equal distances, or as from many independent users."""

    @property
    def is_open(self) -> bool:
        """True where requests leave on a schedule."""
        return self.rate > 0

    @property
    def name(self) -> str:
        """``8 callers``, ``100/s``."""
        if self.is_open:
            return f"{self.rate:g}/s" + " poisson" * (self.arrivals == "poisson")
        return f"{self.concurrency} caller{'s' * (self.concurrency != 1)}"


@dataclass(frozen=True)
class Target:
    """Whom the load is for."""

    url: str
    model: str
    version: str
    deadline: float
    """Seconds for each request."""
    requests: Sequence[dict[str, Any]]
    """Inputs of requests, sent in turn."""
    access: Access
    """What the server asks of its clients."""
    shared_memory: Literal["off", "system"] = "off"
    """As for ``nosclient.Client``."""


@dataclass(frozen=True)
class Share:
    """What one process does of a load."""

    begin: float
    """On the monotonic clock, which all processes of a machine share; seconds."""
    seconds: float
    """How long requests are sent for; answers are waited for after that."""
    callers: int = 0
    """Of a closed loop."""
    schedule: bytes = b""
    """Of an open loop: seconds after ``begin`` at which each request leaves, as C doubles."""
    first: int = 0
    """Which of the requests its first caller begins with."""


@dataclass
class Failures:
    """Requests that failed in one way."""

    count: int
    example: str
    """The message of one of them."""


@dataclass
class Seen:
    """What one process saw: for each answer a row in three arrays, in seconds."""

    due: array[float] = field(default_factory=lambda: array("d"))
    """When it left, or in an open loop should have left, after ``Share.begin``."""
    lag: array[float] = field(default_factory=lambda: array("d"))
    """By how much later than that it left."""
    latency: array[float] = field(default_factory=lambda: array("d"))
    """From ``due`` to its answer."""
    failures: dict[str, Failures] = field(default_factory=dict)
    """Kind of error -> how many requests it took."""
    run_twice: int = 0
    """Requests that the server ran once more: an output had outgrown its shared memory."""
    unsent: int = 0
    """Requests of the schedule that never left, since the server was gone."""
    gone: str = ""
    """Why it gave up before the end: the server was gone; empty otherwise."""

    def add(self, other: Seen) -> None:
        """Take in what another caller or process saw."""
        self.due.extend(other.due)
        self.lag.extend(other.lag)
        self.latency.extend(other.latency)
        for kind, failed in other.failures.items():
            mine = self.failures.setdefault(kind, Failures(0, failed.example))
            mine.count += failed.count
        self.run_twice += other.run_twice
        self.unsent += other.unsent
        self.gone = self.gone or other.gone

    @property
    def failed(self) -> int:
        """Requests that were not answered."""
        return sum(failed.count for failed in self.failures.values())
