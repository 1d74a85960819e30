"""What is known of each model in this server: its state, its bytes, its use."""

from dataclasses import dataclass, field

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
    bytes: int
    """What it takes, or will be taken to take; an estimate before it was ever loaded."""
    most: int = 0
    """The most that it was seen to take since it was loaded last: so much is reserved for it."""
    is_observed: bool = False
    extra: int = 0
    """Bytes more for as long as a new version is loaded beside the old one."""
    state: str = UNLOADED
    is_foreign: bool = False
    """Somebody else loads or unloads it now."""
    epoch: int = 0
    load_number: int = 0
    """Of its last load, among all that were begun."""
    """Counts changes of state, so that what was seen before one is not believed after it."""
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
    failed_at: float = 0.0
    releases: list = field(default_factory=list)
    """Who asked for its unloading, and waits."""

    @property
    def charge(self):
        """Bytes of the budget that it takes now."""
        return 0 if self.state == UNLOADED else self.bytes + self.extra

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
        return max(self.bytes, self.most)

    def observe(self, size):
        """So much its processes take."""
        self.bytes = size
        self.most = max(self.most, size)
        self.is_observed = True

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
        self[name] = Resident(name, self._catalogue.estimate(name))
        return self[name]

    def used(self):
        """Bytes of all."""
        return sum(one.charge for one in self.values())

    def in_state(self, *states):
        return [one for one in list(self.values()) if one.state in states]

    def callers(self, name):
        """Those that call it and are not gone."""
        return [
            self[caller]
            for caller in self._catalogue.callers(name)
            if self[caller].state != UNLOADED
        ]
