"""Who waits for what: models to be loaded, looks at the server, unloads; and what they are told."""

from .demands import Demand
from .index_readers import IndexReaders
from .refusal import INTERNAL, UNAVAILABLE, Refusal
from .residents import GOING, READY, UNLOADED
from .telling import answered


class Waiting:
    """All of them; a Waiter is answered once.

    Args:
        catalogue: what calls what.
        residents: of the server.
        looks: of the manager.
        clock: seconds.
    """

    def __init__(self, catalogue, residents, looks, clock):
        self._catalogue = catalogue
        self._residents = residents
        self._looks = looks
        self._clock = clock
        self.demands = {}
        """Key -> Demand; the key begins with the model's name."""
        self._after_look = []
        self.index_readers = IndexReaders()
        self._answers = []

    def want(self, key, waiter, *, born_after, again=False, instances=None, may_evict=True):
        """Waits for a model with all who want the same.

        Args:
            key: the same for who wants the same.
            waiter: who waits.
            born_after: loads that have begun until now.
            again: load it though it is loaded.
            instances: with so many.
            may_evict: whether others have to go for it.
        """
        if key not in self.demands:
            closure = self._catalogue.closure(key[0])
            demand = Demand(key[0], closure, self._looks.want(), again, instances)
            demand.born_after, demand.may_evict = born_after, may_evict
            self.demands[key] = demand
        self.demands[key].waiters.append(waiter)

    def after_look(self, waiter, name=""):
        """Waits for a look that begins from now on; with a name: to unload that model."""
        self._after_look.append((self._looks.want(), waiter, name))

    def seen(self):
        """(waiter, name) of those whose look is over."""
        over = [entry for entry in self._after_look if entry[0] <= self._looks.done]
        for entry in over:
            self._after_look.remove(entry)
        return [(waiter, name) for _, waiter, name in over]

    def wanted(self):
        """Names of all models that somebody waits for, with what they call."""
        return {name for demand in self.demands.values() for name in demand.closure}

    def is_short_of_room(self):
        return any(demand.waits_since is not None for demand in self.demands.values())

    def satisfied(self, key, now):
        """Whether the demand is met; then all who waited for it are told."""
        demand = self.demands[key]
        ones = [self._residents[name] for name in demand.closure]
        if any(one.state != READY for one in ones):
            return False
        if demand.instances is not None and demand.instances != ones[-1].count:
            return False
        is_new = demand.is_begun_again or demand.name in demand.loaded
        if demand.again and demand.instances is None and not is_new:
            return False
        for one in ones:
            one.used_at = one.promised_at = now
        self.end(key)
        return True

    def loaded(self, name):
        """A load of the model ended well."""
        number = self._residents[name].load_number
        for demand in self.demands.values():
            if name in demand.closure and number > demand.born_after:
                demand.loaded.append(name)

    def unloaded(self, name, reason=""):
        """The model is unloaded; with a reason: not as it should have been."""
        refusal = Refusal(INTERNAL, f"model {name!r} is not unloaded: {reason}")
        for waiter in self._residents[name].releases:
            self.answer(waiter, refusal if reason else {"model": name, "state": UNLOADED})
        self._residents[name].releases.clear()

    def end(self, key, refusal=None):
        """All who wait for it are told that it is there, or why not."""
        demand = self.demands.pop(key)
        for waiter in demand.waiters:
            seconds = self._clock() - waiter.since
            self.answer(waiter, refusal or answered(demand, self._residents, seconds))

    def fail(self, name):
        """Tells all who wait for what did not load, as its failure says.

        Where an older load of it serves, only those who wanted another one.
        """
        one = self._residents[name]
        for key, demand in list(self.demands.items()):
            is_met = one.state == READY and not (demand.again and demand.name == name)
            if name in demand.closure and not is_met:
                self.end(key, failed(demand.name, one))

    def expire(self, now, limits):
        """Tells those whose time is over."""
        for key, demand in list(self.demands.items()):
            for waiter in [one for one in demand.waiters if one.deadline <= now]:
                demand.waiters.remove(waiter)
                late = demand.too_late(self._residents, limits, now - waiter.since)
                self.answer(waiter, late)
            if not demand.waiters:
                del self.demands[key]
        silent = Refusal(UNAVAILABLE, "the server did not answer in time")
        for entry in [entry for entry in self._after_look if entry[1].deadline <= now]:
            self._after_look.remove(entry)
            self.answer(entry[1], silent)
        for waiter in self.index_readers.late(now):
            self.answer(waiter, silent)
        for one in self._residents.in_state(*GOING):
            for waiter in [waiter for waiter in one.releases if waiter.deadline <= now]:
                one.releases.remove(waiter)
                text = f"model {one.name!r} still has requests to answer; it is unloaded then"
                self.answer(waiter, Refusal(UNAVAILABLE, text))

    def waiters(self):
        """All of them."""
        demands = [waiter for demand in self.demands.values() for waiter in demand.waiters]
        looks = [waiter for _, waiter, _ in self._after_look]
        going = [waiter for one in self._residents.values() for waiter in one.releases]
        return demands + looks + going + self.index_readers.waiters()

    def close(self, refusal):
        """All are told the same."""
        for waiter in self.waiters():
            self.answer(waiter, refusal)
        self.demands.clear()
        self._after_look.clear()
        self.index_readers.clear()

    def answer(self, waiter, answer):
        """Keeps a dict or a Refusal until it is sent."""
        self._answers.append((waiter, answer))

    def answers(self):
        """(waiter, answer) of all that are answered since the last time."""
        answers, self._answers = self._answers, []
        return answers


def failed(name, one, more=""):
    """A Refusal of the model, for what it, or what it calls, failed of."""
    called = "" if name == one.name else f", which {name!r} calls,"
    return Refusal(INTERNAL, f"model {one.name!r}{called} {one.failure}{more}")
