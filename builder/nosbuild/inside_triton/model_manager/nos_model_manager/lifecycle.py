"""Models change their state: jobs are begun for it, and what they end with is taken over."""

from .crashes import LONGEST_BRAKE_SECONDS
from .jobs import DROP, LOAD, RESTART, UNLOAD, Job
from .residents import LEAVING, LOADING, READY, RESERVED, UNLOADED, UNLOADING
from .sizes import Sizes

FAILED_SECONDS = 5.0
"""For so long a model that did not load is not tried again."""
_PARALLEL_LOADS = 4


class Lifecycle:
    """Of all models.

    Args:
        residents: whose states these are.
        catalogue: their configurations.
        run: begins a Job elsewhere.
        clock: seconds.
    """

    def __init__(self, residents, catalogue, run, clock):
        self._residents = residents
        self._catalogue = catalogue
        self._run = run
        self._clock = clock
        self.loads_begun = 0

    def begin(self):
        """Begins the loads and unloads that nothing is in the way of."""
        loading = len(self._residents.in_state(LOADING))
        for one in self._residents.in_state(RESERVED):
            called = (self._residents[name] for name in self._catalogue.calls(one.name))
            if loading < _PARALLEL_LOADS and all(other.state == READY for other in called):
                loading += 1
                self._begin_load(one, LOAD)
        for one in self._residents.in_state(LEAVING):
            if not self._residents.callers(one.name):
                one.turn(UNLOADING)
                self._run(Job(UNLOAD, one.name))

    def loaded(self, name, seconds, sizes, config=None):
        """A load ended well.

        Args:
            name: the model's.
            seconds: that it took.
            sizes: of each of its workers, the newest first.
            config: that it was loaded with; None: not known.
        """
        one = self._residents[name]
        one.turn(READY)
        wanted = one.wanted_instances
        if config and self._catalogue.config(name) is None:
            self._catalogue.set_config(name, config)
            self._residents.know(name)
        one.instances = wanted
        one.become(one.coming)
        if one.autoscaling:
            one.autoscaling.changed()
        one.end_load()
        one.is_stuck = False
        one.ready_at = one.used_at = self._clock()
        one.loads += 1
        one.load_seconds = seconds
        one.failure, one.braked_until = "", 0.0
        if sizes:
            one.most = Sizes()
        one.measure(sizes)

    def not_loaded(self, name, reason):
        """A load failed; a new version that does not load leaves the old one in place."""
        one = self._residents[name]
        if one.autoscaling and one.is_serving:
            one.autoscaling.failed(self._clock())
        one.fall_back()
        one.failure = f"does not load: {reason}"
        one.braked_until = self._clock() + FAILED_SECONDS

    def unloaded(self, name, reason="", is_stuck=False):
        """An unload ended; with a reason: not as it should have.

        Args:
            name: the model's.
            reason: why it is not unloaded.
            is_stuck: its workers have ended, and Triton will call it UNLOADING for ever.
        """
        one = self._residents[name]
        one.turn(READY if reason else UNLOADED)
        one.used_at = self._clock()
        one.is_stuck = is_stuck
        if not reason:
            if one.autoscaling:
                one.instances = one.autoscaling.least
            one.become(one.coming)
            one.evictions += one.is_evicted
        one.is_evicted = False

    def crashed(self, name, tell, free):
        """Workers of a model that was loaded have ended by themselves.

        It is loaded again at once, unless it was so too often: then it is unloaded, and not tried
        again for a while.

        Args:
            name: the model's.
            tell: gives the Crash.
            free: Sizes that are left of the budget.

        Returns:
            False where that is to be told again later: it is not settled yet what the model is.
        """
        one = self._residents[name]
        if one.is_foreign and one.state == UNLOADING:
            one.is_stuck = True  # somebody else unloads it, which Triton never ends
            one.turn(UNLOADED)
        if one.state == UNLOADED:
            return True
        if one.state != READY:
            return False
        crash = tell()
        seconds = one.crashes.note(self._clock(), crash)
        if self._catalogue.is_trial(name):
            seconds = LONGEST_BRAKE_SECONDS
        if seconds:
            one.failure = f"is not loaded for now: {one.crashes.told()}"
            one.braked_until = self._clock() + seconds
            one.turn(UNLOADING)
            self._run(Job(DROP, name))
            return True
        one.restarts += 1
        left = one.bytes.times(crash.survivors, crash.survivors + crash.ended)
        has_room = left.fits(free)
        one.extra = left if has_room else Sizes()
        self._begin_load(one, RESTART, has_room)
        return True

    def taken_down(self, name):
        """It was unloaded to be loaded again; Triton does the same with ensembles of it."""
        self._residents[name].is_stuck = True
        for caller in self._residents.callers(name):
            if caller.state == READY and self._catalogue.is_ensemble(caller.name):
                caller.turn(LOADING)
                caller.is_foreign = True

    def _begin_load(self, one, kind, has_room=True):
        replaces = not (one.is_serving and one.wanted_instances)
        if one.wanted_instances is None:
            one.wanted_instances = one.instances
        one.turn(LOADING)
        self.loads_begun += 1
        one.load_number = self.loads_begun
        config = self._catalogue.config(one.name)
        self._run(
            Job(kind, one.name, config, one.wanted_instances, one.restarts, replaces, has_room)
        )
