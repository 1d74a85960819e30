"""The only one that loads and unloads models: what is asked for goes in, jobs and answers come out.

No thread, no clock and no server of its own: ``running.py`` gives it all three, and calls it from
one thread only. After each event comes ``step()``; then ``answers()`` are to be sent.
"""

import time

from .asking import read_request
from .demands import Demand
from .keeping import kept, restore
from .looking import Looks
from .refusal import INTERNAL, INVALID_ARG, UNAVAILABLE, Refusal
from .residents import GOING, LEAVING, LOADING, READY, RESERVED, UNLOADED, UNLOADING, Residents
from .room import Room
from .telling import answered, status

RESIDENCY_SECONDS = 2.0
BRAKE_SECONDS = 5.0
"""For so long a model that did not load is not tried again."""
_AGAIN_SECONDS = 0.25
"""Until the next look, while somebody waits for what only a look can tell."""
_PARALLEL_LOADS = 4


class Manager:
    """Models of one server under one budget.

    Args:
        catalogue: the models that there are.
        budget: bytes.
        run: called with ("look", ""), ("load", name) or ("unload", name): begins that elsewhere,
            and calls ``looked``, ``loaded`` or ``unloaded`` later.
        clock: seconds.
        residency: seconds for which a model that was loaded or used is spared.
    """

    def __init__(self, catalogue, budget, run, clock=time.monotonic, residency=RESIDENCY_SECONDS):
        self._catalogue = catalogue
        self._run = run
        self._clock = clock
        self._residents = Residents(catalogue)
        self._room = Room(self._residents, catalogue, budget, residency)
        self._looks = Looks()
        self._demands = {}
        self._after_look = []
        self._answers = []
        self._alarm = None
        self._loads_begun = 0
        self.is_changed = False
        """Whether there is something new to keep."""
        self._looks.want()  # what is loaded already

    def ask(self, text, waiter):
        """Takes a request; ``waiter`` is answered now or later."""
        now = waiter.since = self._clock()
        try:
            asked = read_request(text)
            waiter.deadline = now + asked.timeout
            if asked.operation == "status":
                self._after_look.append((self._looks.want(), waiter, ""))
            elif asked.operation == "budget":
                if asked.bytes is not None:
                    self._room.budget = asked.bytes
                    self.is_changed = True
                self._answer(waiter, self._budget())
            else:
                for name, entry in asked.models.items():
                    self._catalogue.add(name, entry)
                    if not self._residents[name].is_observed:
                        self._residents[name].bytes = self._catalogue.estimate(name)
                self._catalogue.require(asked.model)
                getattr(self, f"_{asked.operation}")(asked, waiter, now)
        except Refusal as refusal:
            self._answer(waiter, refusal)

    def looked(self, seen):
        """A look at the server ended; None: it did not answer."""
        self._looks.end(seen, self._clock(), self._residents, self._catalogue.names())

    def loaded(self, name, seconds, size):
        """A load ended well; ``size``: bytes of its processes, 0 where it has none."""
        one = self._residents[name]
        one.turn(READY)
        one.extra = 0
        one.ready_at = one.used_at = self._clock()
        one.loads += 1
        one.load_seconds = seconds
        one.failure = ""
        if size:
            one.most = 0
            one.observe(size)
        self.is_changed = True
        for demand in self._demands.values():
            if name in demand.closure and one.load_number > demand.born_after:
                demand.loaded.append(name)

    def not_loaded(self, name, reason):
        """A load failed: all who wait for it are told, and its bytes are free."""
        one = self._residents[name]
        # A new version that does not load leaves the old one in place.
        one.turn(READY if one.extra else UNLOADED)
        one.extra = 0
        one.failure, one.failed_at = reason, self._clock()
        self._looks.want()
        for key, demand in list(self._demands.items()):
            if name in demand.closure:
                self._end(key, self._failed(demand.name, one))

    def unloaded(self, name, reason=""):
        """An unload ended; with a reason: not as it should have."""
        one = self._residents[name]
        one.turn(READY if reason else UNLOADED)
        one.used_at = self._clock()
        if reason:
            self._looks.want()  # the next look says what it is
        elif one.is_evicted:
            one.evictions += 1
        one.is_evicted = False
        self.is_changed = True
        for waiter in one.releases:
            refusal = Refusal(INTERNAL, f"model {name!r} is not unloaded: {reason}")
            self._answer(waiter, refusal if reason else {"model": name, "state": UNLOADED})
        one.releases.clear()

    def step(self):
        """Does all that can be done now."""
        now = self._clock()
        self._alarm = None
        self._expire(now)
        wanted = {name for demand in self._demands.values() for name in demand.closure}
        for one in self._residents.in_state(RESERVED):
            if one.name not in wanted:
                one.turn(READY if one.extra else UNLOADED)
                one.extra = 0
        self._tell_what_was_seen()
        claimed, spared = 0, set()
        for key, demand in list(self._demands.items()):
            if demand.look > self._looks.done:
                continue
            spared.update(demand.closure)
            try:
                if not self._satisfied(key, demand, now):
                    claimed += self._room.admit(demand, claimed, spared, now, self._looks)
            except Refusal as refusal:
                self._end(key, refusal)
        is_over = self._room.relieve(spared, now, self._looks)
        if is_over or any(demand.waits_since is not None for demand in self._demands.values()):
            self._alarm = now + _AGAIN_SECONDS
        self._begin_jobs()
        if self._waiters() and any(one.is_foreign for one in self._residents.values()):
            self._alarm = now + _AGAIN_SECONDS
            if now - self._looks.at >= _AGAIN_SECONDS:
                self._looks.want()
        if self._looks.is_due():
            self._looks.begin(now, self._residents)
            self._run("look", "")

    def answers(self):
        """(waiter, dict or Refusal) of all that are answered since the last time."""
        answers, self._answers = self._answers, []
        return answers

    def wakes_at(self):
        """When ``step()`` has something to do though nothing happens; None for never."""
        times = [waiter.deadline for waiter in self._waiters()]
        times += [] if self._alarm is None else [self._alarm]
        return min(times, default=None)

    def close(self):
        """Everybody who waits is told to ask again."""
        gone = Refusal(UNAVAILABLE, "the model manager is being loaded again; ask again in 1 s")
        for waiter in self._waiters():
            self._answer(waiter, gone)
        self._demands.clear()
        self._after_look.clear()

    def keep(self):
        """What outlives this object, as JSON-able data."""
        self.is_changed = False
        return kept(self._residents, self._room.budget)

    def charges(self):
        """Bytes of the budget that each model takes now."""
        return {one.name: one.charge for one in self._residents.values()}

    def restore(self, data):
        """Takes over what an earlier one kept; what is loaded, the first look tells."""
        self._room.budget = int(data["budget"])
        restore(data, self._residents, self._catalogue)

    def _ensure(self, asked, waiter, now):
        name, key = asked.model, (asked.model, asked.again)
        demand = self._demands.get(key)
        if asked.again and demand is not None and self._has_begun(demand):
            # What is being loaded may be older than what is asked for now.
            key = (asked.model, asked.again, self._loads_begun)
            demand = self._demands.get(key)
        if demand is None:
            closure = self._catalogue.closure(name)
            if not asked.again:
                self._brake(name, closure, now)
            demand = Demand(name, closure, self._looks.want(), asked.again)
            demand.born_after = self._loads_begun
            self._demands[key] = demand
        demand.waiters.append(waiter)

    def _has_begun(self, demand):
        number = self._residents[demand.name].load_number
        return demand.is_begun_again or number > demand.born_after

    def _brake(self, name, closure, now):
        for one in (self._residents[called] for called in closure):
            left = one.failed_at + BRAKE_SECONDS - now
            if one.failure and one.state == UNLOADED and left > 0:
                raise self._failed(name, one, f"; it is not tried again for {left:.1f} s")

    def _release(self, asked, waiter, now):
        if self._residents[asked.model].pinned:
            raise Refusal(INVALID_ARG, f"model {asked.model!r} is pinned: unpin it first")
        self._after_look.append((self._looks.want(), waiter, asked.model))

    def _pin(self, asked, waiter, now):
        self._set_pinned(asked.model, waiter, True)

    def _unpin(self, asked, waiter, now):
        self._set_pinned(asked.model, waiter, False)

    def _set_pinned(self, name, waiter, pinned):
        one = self._residents[name]
        one.pinned = pinned
        if pinned and one.state == LEAVING and not one.releases:
            one.turn(READY)
        self.is_changed = True
        self._answer(waiter, {"model": name, "pinned": pinned, "state": one.state})

    def _satisfied(self, key, demand, now):
        ones = [self._residents[name] for name in demand.closure]
        if any(one.state != READY for one in ones):
            return False
        if demand.again and not (demand.is_begun_again or demand.name in demand.loaded):
            return False
        for one in ones:
            one.used_at = one.promised_at = now
        self._end(key, None)
        return True

    def _end(self, key, refusal):
        demand = self._demands.pop(key)
        for waiter in demand.waiters:
            seconds = self._clock() - waiter.since
            self._answer(waiter, refusal or answered(demand, self._residents, seconds))

    def _expire(self, now):
        for key, demand in list(self._demands.items()):
            for waiter in [one for one in demand.waiters if one.deadline <= now]:
                demand.waiters.remove(waiter)
                seconds = now - waiter.since
                late = demand.too_late(self._residents, self._room.budget, seconds)
                self._answer(waiter, late)
            if not demand.waiters:
                del self._demands[key]
        for entry in [entry for entry in self._after_look if entry[1].deadline <= now]:
            self._after_look.remove(entry)
            self._answer(entry[1], Refusal(UNAVAILABLE, "the server did not answer in time"))
        for one in self._residents.in_state(*GOING):
            for waiter in [waiter for waiter in one.releases if waiter.deadline <= now]:
                one.releases.remove(waiter)
                text = f"model {one.name!r} still has requests to answer; it is unloaded then"
                self._answer(waiter, Refusal(UNAVAILABLE, text))

    def _tell_what_was_seen(self):
        for entry in [entry for entry in self._after_look if entry[0] <= self._looks.done]:
            self._after_look.remove(entry)
            _, waiter, name = entry
            if name:
                self._let_go(name, waiter)
            else:
                models = status(self._catalogue, self._residents, self._clock())
                self._answer(waiter, {**self._budget(), "models": models})

        for one in self._residents.in_state(UNLOADED):
            for waiter in one.releases:  # somebody else unloaded it
                self._answer(waiter, {"model": one.name, "state": UNLOADED})
            one.releases.clear()

    def _let_go(self, name, waiter):
        one = self._residents[name]
        if one.state in (RESERVED, LOADING):
            self._answer(waiter, Refusal(UNAVAILABLE, f"model {name!r} is loading; ask again"))
        elif one.state == UNLOADED:
            self._answer(waiter, {"model": name, "state": UNLOADED})
        elif one.state == READY and (callers := self._residents.callers(name)):
            names = ", ".join(sorted(caller.name for caller in callers))
            text = f"model {name!r} is called by {names}: unload that first"
            self._answer(waiter, Refusal(INVALID_ARG, text))
        else:
            one.releases.append(waiter)
            if one.state == READY:
                one.turn(LEAVING)

    def _begin_jobs(self):
        loading = len(self._residents.in_state(LOADING))
        for one in self._residents.in_state(RESERVED):
            called = [self._residents[name] for name in self._catalogue.calls(one.name)]
            if loading < _PARALLEL_LOADS and all(other.state == READY for other in called):
                one.turn(LOADING)
                loading += 1
                self._loads_begun += 1
                one.load_number = self._loads_begun
                self._run("load", one.name)
        for one in self._residents.in_state(LEAVING):
            if not self._residents.callers(one.name):
                one.turn(UNLOADING)
                self._run("unload", one.name)

    def _failed(self, name, one, more=""):
        called = "" if name == one.name else f", which {name!r} calls,"
        return Refusal(INTERNAL, f"model {one.name!r}{called} does not load: {one.failure}{more}")

    def _budget(self):
        return {
            "budget_bytes": self._room.budget,
            "used_bytes": self._residents.used(),
            "residency_seconds": self._room.residency,
        }

    def _waiters(self):
        demands = [waiter for demand in self._demands.values() for waiter in demand.waiters]
        looks = [entry[1] for entry in self._after_look]
        going = [waiter for one in self._residents.values() for waiter in one.releases]
        return demands + looks + going

    def _answer(self, waiter, answer):
        self._answers.append((waiter, answer))
