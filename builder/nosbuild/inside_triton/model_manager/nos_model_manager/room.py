"""A demand goes in; its bytes are reserved, or others are told to go for it."""

from .demands import bytes_of, too_big
from .refusal import MORE, no_room
from .residents import GOING, LEAVING, OCCUPYING, ON_THE_WAY, READY, RESERVED, UNLOADED
from .sizes import Sizes, shown, total
from .victims import choose

FRESH_SECONDS = 0.25
"""Who goes is decided on what was seen no longer ago."""
LEAST_SECONDS = 0.5
"""For whoever was told that a model is loaded, to use it, however short of time others are."""


class Room:
    """The budget and who is in it.

    Args:
        residents: of the server.
        catalogue: who calls whom.
        budget: Sizes, of the memories that have a budget.
        residency: seconds for which a model that was loaded or used is spared.
    """

    def __init__(self, residents, catalogue, budget, residency):
        self.budget = budget
        self.residency = residency
        self._residents = residents
        self._catalogue = catalogue
        self._over_since = None

    def admit(self, demand, claimed, spared, now, looks):
        """Reserves what the demand needs, where that is free; otherwise tries to make room.

        Args:
            demand: whose closure is not loaded yet.
            claimed: Sizes that are for those who came before.
            spared: models that those and this one want.
            now: of the manager's clock.
            looks: asked for a new one where the last is too old to decide on.

        Returns:
            Sizes that are to be kept for it.

        Raises:
            Refusal: there can be no room for it, whoever is waited for.
        """
        missing = [
            self._residents[name]
            for name in demand.closure
            if self._residents[name].state in (UNLOADED, *GOING)
        ]
        need = total(one.needs for one in missing)
        extra = Sizes()
        if not missing:
            again = self._residents[demand.name]
            if again.state != READY or not demand.is_open(again):
                return Sizes()  # on its way
            need = extra = demand.extra(again)
        # What still goes has its bytes until it is gone, though it is wanted again.
        free = self.free() - claimed.of(self.budget)
        is_gone = all(one.state == UNLOADED for one in missing)
        if is_gone and need.fits(free):
            if self._is_too_unsure(missing, need, free):
                return need
            self._take(demand, missing, need)
            return Sizes()
        self._judge(demand, extra)
        if need.fits(free):
            return need  # it waits for its own end only
        if not demand.may_evict:
            raise no_room(f"no room for {_what(demand, extra)} beside the others", MORE)
        if demand.waits_since is None:
            demand.waits_since = now
        shortage = (need.of(self.budget) - free - self._going()).lacking()
        if shortage:
            is_hurried = demand.is_in_a_hurry(now, self._residents, self.residency)
            patience = now - demand.waits_since
            self._make_room(shortage, spared, now, looks, patience, is_hurried)
        return need

    def relieve(self, spared, now, looks):
        """Tells some to go where more is in use than the budget allows; True where some may yet."""
        over = (Sizes() - self.free() - self._going()).of(self.budget).lacking()
        if not over:
            self._over_since = None
            return False
        if self._over_since is None:
            self._over_since = now
        kept = self._kept()
        freeable = total(
            one.charge for one in self._residents.in_state(READY) if one.name not in kept
        )
        shortage = Sizes({memory: min(over[memory], freeable[memory]) for memory in over})
        if not shortage:
            return False  # until something else happens
        self._make_room(shortage, spared, now, looks, now - self._over_since, False)
        return True

    def free(self):
        """What is left of the budget; less than nothing where too much is in use."""
        return (self.budget - self._residents.used()).of(self.budget)

    def _going(self):
        return total(one.charge for one in self._residents.in_state(*GOING))

    def _kept(self):
        """Names of pinned models, and of those that they call."""
        kept = set()
        for one in self._residents.in_state(*OCCUPYING):
            if one.pinned:
                kept.update(self._catalogue.closure(one.name))
        return kept

    def _take(self, demand, missing, need):
        demand.waits_since = None
        for one in missing:
            one.reserve()
        if not missing:
            demand.is_begun_again = True
            again = self._residents[demand.name]
            again.extra, again.is_serving = need, True
            again.wanted_instances = demand.instances
            again.turn(RESERVED)

    def _is_too_unsure(self, missing, need, free):
        """Whether estimates of models that are loaded for the first time could be too low.

        Where not even twice the bytes would be free, they are loaded one after the other, so that
        each is known before the next one is begun.
        """
        on_the_way = [one for one in self._residents.in_state(*ON_THE_WAY) if one.is_guess]
        new = [one for one in missing if one.is_guess]
        unsure = total(one.needs for one in (*on_the_way, *new))
        return bool(on_the_way and new) and not (need + unsure).fits(free)

    def _judge(self, demand, extra):
        """Refuse what cannot fit beside those that never go."""
        own = bytes_of(demand.closure, self._residents)
        if not own.fits(self.budget):
            raise too_big(demand.name, demand.closure, self._residents, self.budget)
        pinned = self._kept() - set(demand.closure)
        others = total(self._residents[name].charge for name in pinned)
        if (own + others + extra).fits(self.budget):
            return
        more = f" more than the {shown(own)} that it has" * bool(extra)
        beside, advice = "", MORE
        if others:
            names = ", ".join(sorted(name for name in pinned if self._residents[name].charge))
            beside = f", of which {shown(others)} are pinned ({names})"
            advice = f"unpin what may go, or {MORE}"
        raise no_room(
            f"no room for {_what(demand, extra)}: it needs {shown(extra or own)}{more}, and the "
            f"budget is {shown(self.budget)}{beside}",
            advice,
        )

    def _make_room(self, shortage, spared, now, looks, patience, is_hurried):
        if now - looks.at > FRESH_SECONDS:
            looks.want()
            return
        ready = [
            one
            for one in self._residents.in_state(READY)
            if not one.pinned and one.name not in spared
        ]

        def may_go(one):
            return self._may_go(one, now, patience, is_hurried)

        for one in choose(shortage, ready, self._residents.callers, may_go) or ():
            one.turn(LEAVING)
            one.is_evicted = True

    def _may_go(self, one, now, patience, is_hurried):
        loaded_for, unused_for = now - one.ready_at, now - one.used_at
        if min(loaded_for, now - one.promised_at) < LEAST_SECONDS:
            return False
        if unused_for < self._catalogue.idle_seconds(one.name):
            return False  # its callers may count on a state in it
        if is_hurried:
            return True
        if loaded_for < self.residency:
            return False
        # One that is in use all the time goes to who has waited for as long.
        return unused_for >= self.residency or patience >= self.residency


def _what(demand, extra):
    if demand.instances is not None:
        return f"{demand.instances} instances of {demand.name!r}"
    if extra:
        return f"another load of {demand.name!r} beside the one that serves"
    return f"model {demand.name!r}"
