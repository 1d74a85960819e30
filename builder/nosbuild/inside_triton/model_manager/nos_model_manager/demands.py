"""Who waits for what: one demand a model, however many ask for it."""

from dataclasses import dataclass, field

from .refusal import MORE, UNAVAILABLE, Refusal, no_room
from .residents import READY
from .sizes import shown, total

_UNKNOWN_LOAD_SECONDS = 2.0
"""A guess, for a model that was not loaded yet."""
_UNLOAD_SECONDS = 1.0


@dataclass(eq=False)
class Waiter:
    """One request that waits for its answer.

    ``send`` is given the answer, a dict or a Refusal, once.
    """

    send: object
    deadline: float
    since: float = 0.0


@dataclass
class Demand:
    """A model that somebody wants loaded."""

    name: str
    closure: list
    look: int
    """What is believed must come from this look at the server, or a later one."""
    again: bool = False
    """Its newest version, though it may be loaded."""
    instances: int | None = None
    """With so many instances, though it is loaded with others; ``again`` is True then."""
    may_evict: bool = True
    """Whether others have to go for it where there is no room."""
    is_begun_again: bool = False
    waiters: list = field(default_factory=list)
    waits_since: float | None = None
    """Since when there was no room for it."""
    loaded: list = field(default_factory=list)
    """What was loaded for it."""
    born_after: int = 0
    """Loads that had begun before it: what those bring may be an older version."""

    def is_open(self, one):
        """Whether the model, which is loaded, is still to be loaded for it."""
        if self.instances is not None:
            return one.count != self.instances
        return self.again and not self.is_begun_again and self.name not in self.loaded

    def extra(self, one):
        """Bytes more, while the model is loaded again."""
        if self.instances is None:
            return one.needs_with(one.coming or one.count or 1)  # the new, beside the old one
        return (one.needs_with(self.instances) - one.needs).lacking()

    def is_in_a_hurry(self, now, residents, residency):
        """Whether somebody's time would run out if it waited for another model's residency."""
        missing = [residents[name] for name in self.closure if residents[name].state != READY]
        seconds = sum(one.load_seconds or _UNKNOWN_LOAD_SECONDS for one in missing)
        first = min(waiter.deadline for waiter in self.waiters)
        return first - now < seconds + _UNLOAD_SECONDS + residency

    def too_late(self, residents, budget, seconds):
        """What to tell who waited for so long in vain."""
        if self.waits_since is None:
            return Refusal(
                UNAVAILABLE,
                f"model {self.name!r} is still loading after {seconds:.1f} s; ask again, with a "
                "longer timeout",
            )
        needs = total(residents[one].needs for one in self.closure if residents[one].state != READY)
        return no_room(
            f"no room for {self.name!r} within {seconds:.1f} s: it needs {shown(needs)}, and "
            f"{shown(residents.used())} of {shown(budget)} are in use",
            "ask again in 2 s, or unload others",
        )


def bytes_of(closure, residents):
    """What the models of a closure take, those included that are not loaded yet."""
    ones = [residents[name] for name in closure]
    return total(one.charge if one.state == READY else one.needs for one in ones)


def too_big(name, closure, residents, budget):
    """A model that fits in no case."""
    is_guess = any(residents[one].is_guess for one in closure)
    guess = " (estimated: it was not loaded here yet)" * is_guess
    parts = f" with the {len(closure) - 1} that it calls" * (len(closure) > 1)
    return no_room(
        f"model {name!r}{parts} needs {shown(bytes_of(closure, residents))}{guess}, and the whole "
        f"budget is {shown(budget)}",
        MORE,
    )
