"""What may be asked about one model: each operation answers at once, or has the waiter wait."""

from .autoscaling import Autoscaling
from .refusal import INVALID_ARG, UNAVAILABLE, Refusal
from .residents import GOING, LEAVING, LOADING, READY, RESERVED, UNLOADED
from .waiting import failed


class Operations:
    """Each is given an Asked, the Waiter, and the time; a Refusal that it raises is the answer.

    Args:
        catalogue: the models that there are.
        residents: what is known of them.
        waiting: who waits.
        lifecycle: which counts loads.
    """

    def __init__(self, catalogue, residents, waiting, lifecycle):
        self._catalogue = catalogue
        self._residents = residents
        self._waiting = waiting
        self._lifecycle = lifecycle

    def ensure(self, asked, waiter, now):
        """Loads the model unless it is loaded; again: though it is."""
        name, key = asked.model, (asked.model, "again" if asked.again else "")
        demand = self._waiting.demands.get(key)
        if asked.again:
            self._residents[name].crashes.forgive()
            if demand is not None and self._has_begun(demand):
                # What is being loaded may be older than what is asked for now.
                key = (name, "again", self._lifecycle.loads_begun)
        elif demand is None:
            self._brake(name, now)
        self._want(key, waiter, again=asked.again)

    def scale(self, asked, waiter, now):
        """Gives it other instances, now or with its next load."""
        name, one = asked.model, self._residents[asked.model]
        if self._catalogue.is_ensemble(name):
            calls = " or ".join(map(repr, self._catalogue.calls(name)))
            text = f"{name!r} is an ensemble, which has no instances: scale {calls or 'its steps'}"
            raise Refusal(INVALID_ARG, text)
        least, most = asked.instances
        one.autoscaling = Autoscaling(least, most) if least < most else None
        instances = min(max(one.count, least), most)
        if one.state in (UNLOADED, *GOING):
            one.instances = least
            if one.state == UNLOADED:
                one.become(least)
            told = {"model": name, "state": one.state, "instances": least}
            self._waiting.answer(waiter, told)
            return
        self._want((name, "scale", instances), waiter, again=True, instances=instances)

    def autoscale(self, name, instances, waiter):
        """Has it loaded with so many, if there is room; nobody asked for that."""
        key = (name, "scale", instances, "by itself")
        if key not in self._waiting.demands:
            self._want(key, waiter, again=True, instances=instances, may_evict=False)

    def release(self, asked, waiter, now):
        """Unloads it."""
        if self._residents[asked.model].pinned:
            raise Refusal(INVALID_ARG, f"model {asked.model!r} is pinned: unpin it first")
        self._waiting.after_look(waiter, asked.model)

    def forget(self, asked, waiter, now):
        """Knows it no more: one that was there for a while only, and is not loaded."""
        name = asked.model
        is_wanted = name in self._waiting.wanted()
        if is_wanted or self._residents[name].state != UNLOADED:
            raise Refusal(
                INVALID_ARG, f"model {name!r} is loaded, or being loaded: unload it first"
            )
        self._catalogue.remove(name)
        del self._residents[name]
        self._waiting.answer(waiter, {"model": name, "state": "forgotten"})

    def let_go(self, name, waiter):
        """The look that its unloading waited for is over."""
        one = self._residents[name]
        if one.state in (RESERVED, LOADING):
            raise Refusal(UNAVAILABLE, f"model {name!r} is loading; ask again")
        if one.state == UNLOADED:
            self._waiting.answer(waiter, {"model": name, "state": UNLOADED})
            return
        if one.state == READY and (callers := self._residents.callers(name)):
            names = ", ".join(sorted(caller.name for caller in callers))
            raise Refusal(INVALID_ARG, f"model {name!r} is called by {names}: unload that first")
        one.releases.append(waiter)
        if one.state == READY:
            one.turn(LEAVING)

    def pin(self, asked, waiter, now):
        """Never unloads it for others."""
        self._set_pinned(asked.model, waiter, True)

    def unpin(self, asked, waiter, now):
        """Unloads it for others again."""
        self._set_pinned(asked.model, waiter, False)

    def _set_pinned(self, name, waiter, pinned):
        one = self._residents[name]
        one.pinned = pinned
        if pinned and one.state == LEAVING and not one.releases:
            one.turn(READY)
        self._waiting.answer(waiter, {"model": name, "pinned": pinned, "state": one.state})

    def _want(self, key, waiter, **more):
        self._waiting.want(key, waiter, born_after=self._lifecycle.loads_begun, **more)

    def _has_begun(self, demand):
        number = self._residents[demand.name].load_number
        return demand.is_begun_again or number > demand.born_after

    def _brake(self, name, now):
        for one in (self._residents[called] for called in self._catalogue.closure(name)):
            if one.is_braked(now):
                left = one.braked_until - now
                by_hand = f" (nosbuild load {one.name} tries it now)"
                raise failed(name, one, f"; it is not tried again for {left:.1f} s{by_hand}")
