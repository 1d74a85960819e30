"""What is known of each model in this server: its state, its bytes, its use."""

from dataclasses import dataclass, field

from .autoscaling import Autoscaling
from .crashes import Crashes
from .sizes import Sizes, total

UNLOADED = "unloaded"
RESERVED = "reserved"
"""It has its bytes, and waits for what it calls."""
LOADING = "loading"
READY = "ready"
LEAVING = "leaving"
"""Its end is decided; it waits for that of those who call it."""
UNLOADING = "unloading"

ON_THE_WAY = (RESERVED, LOADING)
GOING = (LEAVING, UNLOADING)
OCCUPYING = (*ON_THE_WAY, READY, *GOING)


@dataclass
class Resident:
    """One model; times in the manager's clock."""

    name: str
    bytes: Sizes
    """What it takes, or will be taken to take; an estimate before it was ever loaded."""
    most: Sizes = field(default_factory=Sizes)
    """The most that it was seen to take since it was loaded last: so much is reserved for it."""
    is_observed: bool = False
    extra: Sizes = field(default_factory=Sizes)
    """Bytes more for as long as a load lasts while the old one serves."""
    is_serving: bool = False
    """The old one serves until the load that is to come, or goes on, has ended."""
    state: str = UNLOADED
    is_foreign: bool = False
    """Somebody else loads or unloads it now."""
    epoch: int = 0
    """Counts changes of state, so that what was seen before one is not believed after it."""
    load_number: int = 0
    """Of its last load, among all that were begun."""
    ready_at: float = 0.0
    used_at: float = 0.0
    """Last asked for, or last inference."""
    inferred_at: float | None = None
    promised_at: float = float("-inf")
    """When somebody was told last that it is loaded, who will use it any moment."""
    is_evicted: bool = False
    """It goes to make room, not because somebody asked for it."""
    pinned: bool = False
    loads: int = 0
    evictions: int = 0
    load_seconds: float = 0.0
    failure: str = ""
    """Why it is not loaded though it was tried."""
    braked_until: float = 0.0
    """For so long that is not tried again."""
    crashes: Crashes = field(default_factory=Crashes)
    restarts: int = 0
    """How often it was loaded again because a worker had ended."""
    is_stuck: bool = False
    """Triton calls it UNLOADING for ever: it waits for a worker that has ended."""
    leftover: Sizes = field(default_factory=Sizes)
    """Bytes of workers that outlived their load: neither unloading nor anybody else frees them."""
    of_config: int = 0
    """Instances that its config says; others than that were asked for until it says others."""
    count: int = 0
    """Instances that its bytes are those of; 0 where that is not known."""
    versions: int = 0
    """That are served at once, each with so many; 0 where that is not known."""
    instances: int | None = None
    """That were asked for; None: those of its config."""
    autoscaling: Autoscaling | None = None
    """Where the number of its instances is the manager's to choose."""
    wanted_instances: int | None = None
    """From the load on that is being made room for."""
    releases: list = field(default_factory=list)
    """Who asked for its unloading, and waits."""

    @property
    def charge(self):
        """Bytes of the budget that it takes now."""
        return Sizes() if self.state == UNLOADED else self.bytes + self.extra

    def is_braked(self, now):
        """Whether it is not to be loaded for now, because of how it ended before."""
        return self.state not in (READY, *ON_THE_WAY) and now < self.braked_until

    def reserve(self):
        """Takes its bytes out of the budget before it is loaded."""
        self.bytes = self.needs
        self.turn(RESERVED)

    @property
    def is_guess(self):
        """Whether its bytes are no more than an estimate; an ensemble has none."""
        return bool(self.bytes) and not self.is_observed

    @property
    def needs(self):
        """Bytes that a load is to have at hand."""
        return self.bytes.most(self.most)

    def needs_with(self, instances):
        """The same with so many instances."""
        return self.needs.times(instances, max(1, self.count))

    def become(self, count):
        """Its bytes are those of so many instances."""
        if count != self.count:
            self.bytes, self.most = self.needs_with(count), Sizes()
            self.count = count

    @property
    def coming(self):
        """Instances that its next load gives it; 0 where that is not known."""
        return self.instances or self.of_config

    def measure(self, sizes):
        """So much its workers take, the newest first; those that are too many should be gone."""
        workers = self.count * self.versions or len(sizes)
        self.leftover = total(sizes[workers:])
        if sizes:
            self.observe(total(sizes[:workers]))

    def observe(self, size):
        """So much its processes take; of a memory that is not named, what was estimated holds."""
        self.bytes = Sizes({**self.bytes, **size})
        self.most = self.most.most(self.bytes)
        self.is_observed = True

    def fall_back(self):
        """No load, after all, or one that failed: to what is there."""
        self.turn(READY if self.is_serving else UNLOADED)
        self.end_load()

    def end_load(self):
        """What holds for as long as a load lasts holds no more."""
        self.extra, self.is_serving, self.wanted_instances = Sizes(), False, None

    def turn(self, state):
        self.state = state
        self.epoch += 1
        self.is_foreign = False


class Residents(dict):
    """Name -> Resident; made when first asked for."""

    def __init__(self, catalogue):
        super().__init__()
        self._catalogue = catalogue

    def __missing__(self, name):
        self[name] = Resident(name, Sizes())
        self.know(name)
        return self[name]

    def know(self, name):
        """Takes over what the catalogue says, which is new, or has changed."""
        one = self[name]
        instances = self._catalogue.instances(name)
        if instances != one.of_config:
            one.of_config, one.instances = instances, None
        if one.state == UNLOADED and one.is_observed:
            one.become(one.coming)
        elif not one.is_observed:
            one.bytes, one.count = self._catalogue.estimate(name), instances
            one.become(one.coming)
        one.versions = self._catalogue.versions(name)

    def used(self):
        """Bytes of all."""
        return total(one.charge + one.leftover for one in self.values())

    def in_state(self, *states):
        return [one for one in list(self.values()) if one.state in states]

    def callers(self, name):
        """Those that call it and are not gone."""
        return [
            self[caller]
            for caller in self._catalogue.callers(name)
            if self[caller].state != UNLOADED
        ]
