"""What Triton counts of a model's requests goes in; how many instances it should have comes out.

More, where all are busy and requests wait; fewer, where all but one would have been enough for a
while. One at a time: each is seen to help, or not, before the next.
"""

from dataclasses import dataclass, field

PERIOD_SECONDS = 2.0
"""Between two looks."""
_PATIENCE_SECONDS = 4.0
"""So long requests must have waited, and so long the last change is given to be felt."""
_IDLE_SECONDS = 30.0
"""So long there must have been too many instances."""
HELD_SECONDS = 30.0
"""After instances that did not load; twice that after the next, and so on."""
_MOST_FAILURES = 5
_MUCH = 0.5
"""Share of the time that the instances that would be left may have been busy."""
_BUSY = 0.6
"""Share of the time from which instances are busy all the time: the rest are hand-offs."""
_WAIT = 0.2
"""Share of the work on a request that it may wait: a batch that is gathered makes it wait, too."""


@dataclass(frozen=True)
class Usage:
    """What Triton has counted of a model since it was loaded."""

    last: float = 0.0
    """When its last request was answered, in seconds since the epoch."""
    requests: int = 0
    executions: int = 0
    queue_seconds: float = 0.0
    """That requests waited for an instance, together."""
    compute_seconds: float = 0.0
    """That requests were worked on, together; those of one batch count each."""

    def with_more(self, other):
        """Of two versions, together."""
        return Usage(
            max(self.last, other.last),
            self.requests + other.requests,
            self.executions + other.executions,
            self.queue_seconds + other.queue_seconds,
            self.compute_seconds + other.compute_seconds,
        )

    def since(self, earlier):
        """What came since; all of it where the model was loaded again meanwhile."""
        if self.requests < earlier.requests:
            return self
        return Usage(
            self.last,
            self.requests - earlier.requests,
            self.executions - earlier.executions,
            self.queue_seconds - earlier.queue_seconds,
            self.compute_seconds - earlier.compute_seconds,
        )

    @property
    def busy_seconds(self):
        """That instances worked, together."""
        return self.executions * self.compute_seconds / self.requests if self.requests else 0.0

    def is_crowded(self, instances, seconds):
        """Whether requests waited because so many instances were busy all that time."""
        is_busy = self.busy_seconds > _BUSY * instances * seconds
        return is_busy and self.queue_seconds > _WAIT * self.compute_seconds


@dataclass
class Autoscaling:
    """One model whose instances may be from ``least`` to ``most``."""

    least: int
    most: int
    _usage: Usage | None = None
    _at: float = 0.0
    _crowded_since: float | None = field(default=None)
    _idle_since: float | None = field(default=None)
    _held_until: float = 0.0
    _failures: int = 0

    def wanted(self, now, usage, instances):
        """How many instances it should have.

        Args:
            now: of the manager's clock.
            usage: as Triton counts it now.
            instances: that it has.
        """
        if self._usage is not None and now - self._at < PERIOD_SECONDS:
            return instances  # what ends in so short a time tells little
        before, self._usage = self._usage, usage
        seconds, self._at = now - self._at, now
        if before is None:
            return instances
        new = usage.since(before)
        is_crowded = new.is_crowded(instances, seconds)
        is_idle = new.busy_seconds < _MUCH * (instances - 1) * seconds
        self._crowded_since = _since(self._crowded_since, is_crowded, now - seconds)
        self._idle_since = _since(self._idle_since, is_idle, now - seconds)
        if now < self._held_until:
            return instances
        if instances < self.most and _lasts(self._crowded_since, now, _PATIENCE_SECONDS):
            return instances + 1
        if instances > self.least and _lasts(self._idle_since, now, _IDLE_SECONDS):
            return instances - 1
        return min(max(instances, self.least), self.most)

    def changed(self):
        """It has other instances: what was before says nothing of them."""
        self._crowded_since = self._idle_since = None
        self._failures = 0

    def failed(self, now):
        """It could not be given others: not again soon."""
        self._crowded_since = self._idle_since = None
        self._held_until = now + HELD_SECONDS * 2**self._failures
        self._failures = min(self._failures + 1, _MOST_FAILURES)


def _since(since, holds, began):
    if not holds:
        return None
    return began if since is None else since


def _lasts(since, now, seconds):
    return since is not None and now - since >= seconds
