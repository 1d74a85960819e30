"""A running server goes in; each version that is published for it is rolled out."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

from nosbuild.errors import NosError, RepositoryError
from nosbuild.repository.layout import ModelFolder
from nosbuild.rollout.outcome import RollOut
from nosbuild.rollout.run import roll_out
from nosbuild.rollout.server import RunningServer
from nosbuild.runtime.served_files import snapshot_of

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 10.0
"""After something that is not the version's fault, such as too little memory; doubled each time."""
_LONGEST_SECONDS = 300.0

_Seen = tuple[int, int, int]


class Watch:
    """A thread that looks at every config.pbtxt once a second; close it.

    Args:
        server: whose models are watched.
        tell: called from the thread, with what happened.
    """

    def __init__(self, server: RunningServer, tell: Callable[[str], None]) -> None:
        self._server = server
        self._tell = tell
        self._seen: dict[str, _Seen] = {}
        self._again: dict[str, tuple[float, float]] = {}
        """Model -> when to try again, and seconds until the time after that."""
        self._told: dict[str, str] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="new versions", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 2.0) -> None:
        """Begins no further roll-out, and says nothing of one that is under way."""
        self._closing.set()
        self._thread.join(timeout)

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            for name in self._server.files.names():
                if self._closing.is_set():
                    return
                self._look(name)

    def _look(self, name: str) -> None:
        # Whatever goes wrong with one model must not end the watch over it, nor over the others.
        try:
            outcomes = self._rolled_out(name)
        except RepositoryError as error:
            # Somebody edits it, most likely; it is told if it is so the next time.
            self._try_again(name, str(error), tells=name in self._again)
        except (NosError, OSError) as error:
            self._try_again(name, str(error))
        except Exception:  # noqa: BLE001 - a bug, which is told
            self._try_again(name, traceback.format_exc())
        else:
            for outcome in outcomes:
                self._say(outcome.describe())

    def _rolled_out(self, name: str) -> tuple[RollOut, ...]:
        """What became of new versions; empty where there is nothing new to look at."""
        folder = ModelFolder(self._server.repository / name)
        try:
            facts = folder.config.stat()
        except FileNotFoundError:
            return ()  # it may come back; what is served stays
        seen = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
        is_due = self._again.get(name, (float("inf"), 0.0))[0] <= time.monotonic()
        if self._seen.get(name) == seen and not is_due:
            return ()
        if self._seen.get(name) != seen:
            self._again.pop(name, None)
        self._seen[name] = seen
        served = self._server.files.served(name)
        outcomes: tuple[RollOut, ...] = ()
        if served and snapshot_of(folder).new_versions(served):
            outcomes = roll_out(self._server, name, load=False)
        self._again.pop(name, None)
        self._told.pop(name, None)
        return outcomes

    def _try_again(self, name: str, reason: str, *, tells: bool = True) -> None:
        """Later; it is told what is wrong, though not twice the same."""
        due, seconds = self._again.get(name, (0.0, _RETRY_SECONDS))
        if due > time.monotonic():
            return  # it failed before it came to whether it is due
        self._again[name] = (time.monotonic() + seconds, min(2 * seconds, _LONGEST_SECONDS))
        if tells and self._told.get(name) != reason:
            self._told[name] = reason
            self._say(f"{name}: its new version cannot be tried now, and waits: {reason}")

    def _say(self, line: str) -> None:
        if self._closing.is_set():
            return
        try:
            self._tell(line)
        except Exception:  # noqa: BLE001 - the user's own; it must not end the watch
            sys.excepthook(*sys.exc_info())
