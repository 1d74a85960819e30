"""What the server is seen to hold goes in; what the manager believes is made to agree.

Somebody else may load and unload models, and the manager itself may be loaded again.
"""

from dataclasses import dataclass, field

from .residents import LOADING, READY, UNLOADED, UNLOADING
from .sizes import total

_BELIEVED = {
    "READY": READY,
    "LOADING": LOADING,
    "UNLOADING": UNLOADING,
    "UNAVAILABLE": UNLOADED,
}


@dataclass(frozen=True)
class Seen:
    """One look at the server."""

    states: dict
    """Model -> READY, LOADING, UNLOADING or UNAVAILABLE."""
    idle: dict
    """Model -> seconds since it answered; only of those that are loaded and were used."""
    memory: dict
    """Model -> Sizes of each of its workers, the newest first; only of those that have some."""
    usage: dict = field(default_factory=dict)
    """Loaded model -> its Usage."""


class Looks:
    """Numbers looks, so that each decision can ask for one that began after its question."""

    def __init__(self):
        self.begun = 0
        self.done = 0
        self.at = float("-inf")
        """When the newest one that is done was begun."""
        self._wanted = 0
        self._began_at = 0.0
        self._epochs = {}

    def want(self):
        """The number of a look that begins from now on."""
        self._wanted = self.begun + 1
        return self._wanted

    def is_due(self):
        return self.begun == self.done and self._wanted > self.begun

    def begin(self, now, residents):
        self.begun += 1
        self._began_at = now
        self._epochs = {name: one.epoch for name, one in residents.items()}

    def end(self, seen, now, residents, names):
        """Take over what was seen; None: the server did not answer, and beliefs stand."""
        self.done = self.begun
        if seen is None:
            return
        self.at = self._began_at
        for name in names:
            one = residents[name]
            if one.epoch == self._epochs.get(name, 0):
                _believe(one, seen, now)


def _believe(one, seen, now):
    state = _BELIEVED[seen.states.get(one.name, "UNAVAILABLE")]
    if one.is_stuck and state == UNLOADING:
        state = UNLOADED
    is_ours = one.state not in (UNLOADED, READY) and not one.is_foreign
    if is_ours:
        return  # its own job says when it is over
    if state != one.state:
        one.turn(state)
        one.is_foreign = state in (LOADING, UNLOADING)
        if state == READY:
            one.ready_at = now
            one.used_at = now - seen.idle.get(one.name, 0.0)
    if one.name in seen.idle:
        one.inferred_at = now - seen.idle[one.name]
        one.used_at = max(one.used_at, one.inferred_at)
    sizes = seen.memory.get(one.name, ())
    if state == READY:
        one.measure(sizes)
    elif state == UNLOADED:
        one.leftover = total(sizes)
