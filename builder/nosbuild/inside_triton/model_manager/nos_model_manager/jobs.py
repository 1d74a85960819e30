"""What the manager has done elsewhere, in threads that may wait: looks, loads and unloads."""

from dataclasses import dataclass

LOOK = "look"
INDEX = "index"
"""Reads Triton's index for whoever asked for it."""
LOAD = "load"
UNLOAD = "unload"
RESTART = "restart"
"""Loads again what lost a worker."""
DROP = "drop"
"""Unloads what lost a worker, which Triton never ends."""


@dataclass(frozen=True)
class Job:
    """One of them."""

    kind: str
    name: str = ""
    """Of the model; a look is at all of them."""
    config: dict | None = None
    """With which it is loaded; None: as its config.pbtxt says."""
    instances: int | None = None
    """In place of those that the config has."""
    restarts: int = 0
    """Of the model until now: a load that differs in this is one, though nothing else does."""
    replaces: bool = True
    """Whether its workers are to be others; not where only their number changes."""
    has_room: bool = True
    """Of a restart: for the workers that are left, beside the new ones."""
