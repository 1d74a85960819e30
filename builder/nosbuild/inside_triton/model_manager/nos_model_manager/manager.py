"""The only one that loads and unloads models: what is asked for goes in, jobs and answers come out.

No thread, no clock and no server of its own: ``running.py`` gives it all three, and calls it from
one thread only. After each event comes ``step()``; then ``answers()`` are to be sent.
"""

import time

from .asking import read_request
from .autoscaling import PERIOD_SECONDS
from .demands import Waiter
from .jobs import INDEX, LOOK, Job
from .keeping import kept, restore
from .lifecycle import Lifecycle
from .looking import Looks
from .operations import Operations
from .refusal import UNAVAILABLE, Refusal
from .residents import READY, RESERVED, UNLOADED, Residents
from .room import Room
from .sizes import Sizes
from .telling import budget, status
from .waiting import Waiting

RESIDENCY_SECONDS = 2.0
_AGAIN_SECONDS = 0.25
"""Until the next look, while somebody waits for what only a look can tell."""
_SCALE_SECONDS = 600.0
"""For so long instances that the manager itself wants are waited for."""


class Manager:
    """Models of one server under one budget.

    Args:
        catalogue: the models that there are.
        limits: Sizes, of the memories that have a budget.
        run: called with a Job: begins it elsewhere, and calls ``looked``, ``indexed``, ``loaded``,
            ``not_loaded`` or ``unloaded`` later.
        clock: seconds.
        residency: seconds for which a model that was loaded or used is spared.
    """

    def __init__(self, catalogue, limits, run, clock=time.monotonic, residency=RESIDENCY_SECONDS):
        self._catalogue = catalogue
        self._run = run
        self._clock = clock
        self._residents = Residents(catalogue)
        self._room = Room(self._residents, catalogue, limits, residency)
        self._lifecycle = Lifecycle(self._residents, catalogue, run, clock)
        self._looks = Looks()
        self._waiting = Waiting(catalogue, self._residents, self._looks, clock)
        self._operations = Operations(catalogue, self._residents, self._waiting, self._lifecycle)
        self._alarm = None
        self.is_changed = True
        """Whether there is something new to keep, or to show."""
        self._looks.want()  # what is loaded already

    def ask(self, text, waiter):
        """Takes a request; ``waiter`` is answered now or later."""
        now = waiter.since = self._clock()
        try:
            asked = read_request(text)
            waiter.deadline = now + asked.timeout
            if asked.operation == "status":
                self._make_known(asked)
                self.is_changed = self.is_changed or bool(asked.models)
                self._waiting.after_look(waiter)
            elif asked.operation == "index":
                self._waiting.index_readers.add(waiter)
            elif asked.operation == "budget":
                if asked.sizes:
                    self._room.budget = Sizes({**self._room.budget, **asked.sizes})
                    self.is_changed = True
                self._waiting.answer(waiter, budget(self._room, self._residents))
            else:
                self._make_known(asked)
                self._catalogue.require(asked.model)
                getattr(self._operations, asked.operation)(asked, waiter, now)
                self.is_changed = True
        except Refusal as refusal:
            self._waiting.answer(waiter, refusal)

    def looked(self, seen):
        """A look at the server ended; None: it did not answer."""
        now = self._clock()
        self._looks.end(seen, now, self._residents, self._catalogue.names())
        if seen is not None:
            self._autoscale(seen, now)

    def indexed(self, rows, reason=""):
        """Triton's index was read; with a reason: it was not."""
        refusal = Refusal(UNAVAILABLE, f"the server does not tell its models: {reason}")
        for waiter in self._waiting.index_readers.end():
            self._waiting.answer(waiter, refusal if reason else {"models": rows})

    def loaded(self, name, seconds, sizes, config=None):
        """A load ended well. See ``Lifecycle.loaded``."""
        self._lifecycle.loaded(name, seconds, sizes, config)
        self._waiting.loaded(name)
        self.is_changed = True

    def not_loaded(self, name, reason):
        """A load failed: all who wait for it are told, and its bytes are free."""
        self._lifecycle.not_loaded(name, reason)
        self._looks.want()
        self._waiting.fail(name)

    def unloaded(self, name, reason="", is_stuck=False):
        """An unload ended; with a reason: not as it should have. See ``Lifecycle.unloaded``."""
        self._lifecycle.unloaded(name, reason, is_stuck)
        if reason or is_stuck:
            self._looks.want()  # the next look says what it, and what calls it, is
        self._waiting.unloaded(name, reason)
        self.is_changed = True

    def crashed(self, name, tell):
        """Workers of a model ended by themselves; False where that is to be told again later.

        Args:
            name: the model's.
            tell: gives the Crash.
        """
        if not self._looks.done:
            return False  # what is loaded is not known yet
        was_foreign = self._residents[name].is_foreign
        if not self._lifecycle.crashed(name, tell, self._room.free()):
            return False
        if self._residents[name].is_braked(self._clock()):
            self._waiting.fail(name)
        if was_foreign:
            self._looks.want()
        self.is_changed = True
        return True

    def taken_down(self, name):
        """What lost its workers is unloaded, and will be loaded again."""
        self._lifecycle.taken_down(name)
        self.is_changed = True

    def step(self):
        """Does all that can be done now."""
        now = self._clock()
        self._alarm = None
        self._waiting.expire(now, self._room.budget)
        wanted = self._waiting.wanted()
        for one in self._residents.in_state(RESERVED):
            if one.name not in wanted:
                one.fall_back()
        self._tell_what_was_seen()
        spared = self._admit(now)
        is_over = self._room.relieve(spared, now, self._looks)
        self._lifecycle.begin()
        if is_over or self._waiting.is_short_of_room():
            self._wake_at(now + _AGAIN_SECONDS)
        if any(one.is_foreign for one in self._residents.values()):
            self._look_every(_AGAIN_SECONDS if self._waiting.waiters() else PERIOD_SECONDS, now)
        if any(one.autoscaling for one in self._residents.in_state(READY)):
            self._look_every(PERIOD_SECONDS, now)
        if self._looks.is_due():
            self._looks.begin(now, self._residents)
            self._run(Job(LOOK))
        if self._waiting.index_readers.begin():
            self._run(Job(INDEX))

    def answers(self):
        """(waiter, dict or Refusal) of all that are answered since the last time."""
        return self._waiting.answers()

    def wakes_at(self):
        """When ``step()`` has something to do though nothing happens; None for never."""
        times = [waiter.deadline for waiter in self._waiting.waiters()]
        times += [] if self._alarm is None else [self._alarm]
        return min(times, default=None)

    def close(self):
        """Everybody who waits is told to ask again."""
        text = "the model manager is being loaded again; ask again in 1 s"
        self._waiting.close(Refusal(UNAVAILABLE, text))

    def keep(self):
        """What outlives this object, as JSON-able data."""
        self.is_changed = False
        return {**kept(self._residents, self._room.budget), "entries": self._catalogue.added()}

    def charges(self):
        """Bytes of the budget that each model takes now."""
        return {one.name: one.charge for one in self._residents.values()}

    def restore(self, data):
        """Takes over what an earlier one kept; what is loaded, the first look tells."""
        self._room.budget = Sizes(data["budget"])
        for name, entry in data["entries"].items():
            self._catalogue.add(name, entry)
            self._residents.know(name)
        restore(data, self._residents, self._catalogue)

    def _make_known(self, asked):
        for name, entry in asked.models.items():
            self._catalogue.add(name, entry)
            self._residents.know(name)
        if asked.again and asked.model in self._catalogue and asked.model not in asked.models:
            # Whoever says "newest" and not what that is, means what the file says.
            self._catalogue.set_config(asked.model, None)

    def _admit(self, now):
        """Meets demands, reserves for them, or makes room; names of what they want."""
        claimed, spared = Sizes(), set()
        for key, demand in list(self._waiting.demands.items()):
            if demand.look > self._looks.done:
                continue
            spared.update(demand.closure)
            try:
                if not self._waiting.satisfied(key, now):
                    claimed = claimed + self._room.admit(demand, claimed, spared, now, self._looks)
            except Refusal as refusal:
                self._waiting.end(key, refusal)
        return spared

    def _autoscale(self, seen, now):
        """Wants other instances of what is used much, or little, where there is room for them."""
        for one in self._residents.in_state(READY):
            if not one.autoscaling or one.name not in seen.usage:
                continue
            wanted = one.autoscaling.wanted(now, seen.usage[one.name], one.count)
            more = (one.needs_with(wanted) - one.needs).lacking()
            if wanted != one.count and more.fits(self._room.free()):
                nobody = Waiter(_nobody, now + _SCALE_SECONDS, now)
                self._operations.autoscale(one.name, wanted, nobody)

    def _tell_what_was_seen(self):
        for waiter, name in self._waiting.seen():
            if not name:
                models = status(self._catalogue, self._residents, self._clock())
                told = {**budget(self._room, self._residents), "models": models}
                self._waiting.answer(waiter, told)
                continue
            try:
                self._operations.let_go(name, waiter)
            except Refusal as refusal:
                self._waiting.answer(waiter, refusal)
        for one in self._residents.in_state(UNLOADED):
            self._waiting.unloaded(one.name)  # by somebody else

    def _look_every(self, seconds, now):
        self._wake_at(now + seconds)
        if now - self._looks.at >= seconds:
            self._looks.want()

    def _wake_at(self, when):
        self._alarm = when if self._alarm is None else min(self._alarm, when)


def _nobody(_answer):
    """Whose demand it is, sees the result in the next look."""
