"""Triton counts a request a little after it has answered it: its counters, when they are right."""

from __future__ import annotations

import time
from collections.abc import Callable

from nosclient import Client, ModelStatistics

PATIENCE = 30.0


def quiet(client: Client, model: str) -> ModelStatistics:
    """The counters of a model that nobody asks, once its last answers are counted."""
    found = client.statistics(model)
    while True:
        time.sleep(0.1)
        found, before = client.statistics(model), found
        if (found.success, found.fail) == (before.success, before.fail):
            return found


def counted(
    client: Client, model: str, holds: Callable[[ModelStatistics], bool]
) -> ModelStatistics:
    """The counters once ``holds``, or after half a minute."""
    ends = time.monotonic() + PATIENCE
    while not holds(found := client.statistics(model)) and time.monotonic() < ends:
        time.sleep(0.05)
    return found
