"""When a model's workers ended by themselves goes in; whether it is loaded again comes out."""

from dataclasses import dataclass, field

WINDOW_SECONDS = 60.0
ALLOWED = 2
"""Crashes in the window after which a model is loaded again at once; the next one is braked."""
FIRST_BRAKE_SECONDS = 30.0
LONGEST_BRAKE_SECONDS = 600.0
CALM_SECONDS = 600.0
"""One that was loaded again after a brake, and went on for so long, is no such one any more."""


@dataclass(frozen=True)
class Crash:
    """Workers of a model that ended by themselves."""

    reason: str
    """How they ended: ``was ended by signal 9 (SIGKILL)``."""
    log: tuple = ()
    """Lines with which the server's log ended then."""
    ended: int = 1
    survivors: int = 0
    """Workers of the model that go on."""


@dataclass
class Crashes:
    """Of one model, in the manager's clock."""

    number: int = 0
    """Since the server was started."""
    at: float = 0.0
    last: Crash | None = None
    _recent: list = field(default_factory=list)
    _brakes: int = 0
    _braked_until: float = 0.0

    def note(self, now, crash):
        """One more.

        Returns:
            seconds for which the model is not to be loaded; 0: load it again.
        """
        if now - self._braked_until > CALM_SECONDS:
            self._brakes = 0
        self.number += 1
        self.at, self.last = now, crash
        self._recent = [one for one in self._recent if now - one < WINDOW_SECONDS] + [now]
        if len(self._recent) <= ALLOWED and not self._brakes:
            return 0.0
        self._recent.clear()
        self._brakes += 1
        seconds = min(FIRST_BRAKE_SECONDS * 2 ** (self._brakes - 1), LONGEST_BRAKE_SECONDS)
        self._braked_until = now + seconds
        return seconds

    def told(self):
        """How often, and how it was the last time."""
        times = "once" if self.number == 1 else f"{self.number} times"
        return f"its worker process ended {times}; the last one {self.last.reason}"

    def forgive(self):
        """Somebody loads it by hand: it may have been mended."""
        self._recent.clear()
        self._brakes = 0
