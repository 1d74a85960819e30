"""Which workers belong to which model goes in; which of them ended by themselves comes out.

A worker that Triton ends is asked by Triton how it ended, and is gone then. One that ends by
itself stays what Unix calls a zombie: Triton takes no notice, calls its model ready, and fails its
requests.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from .crashes import Crash
from .workers import how_it_ended, processor_ticks, state_of, workers_of_models

_TAIL_BYTES = 1 << 16
_TAIL_LINES = 20
_IDLE_SECONDS = 1.0
_STEP_SECONDS = 0.1
_MAY_GO_ON_SECONDS = 60.0


class WorkerWatch:
    """The workers of one Triton; any thread may call it.

    Args:
        pid: Triton's.
        names: gives those of all models.
        devices: DeviceMemory of this machine.
        log: the file that Triton and the workers write to; empty: there is none to read.
    """

    def __init__(self, pid, names, devices, log=""):
        self._pid = pid
        self._names = names
        self._devices = devices
        self._log = log
        self._lock = threading.Lock()
        self._models = {}
        self._retired = set()
        self._doubtful = set()
        self._begun = {}
        """Model -> where the log ended when its last load began."""

    def begin(self, name):
        """It is being loaded."""
        self._begun[name] = self._log_size()

    def look(self):
        """Model -> (process, Sizes) of its workers, the newest first; they are watched now."""
        found = workers_of_models(self._pid, self._names(), self._devices.of_processes())
        with self._lock:
            for name, workers in found.items():
                pids = {pid for pid, _ in workers} - self._retired
                self._models.update((pid, name) for pid in pids)
        return found

    def known(self):
        """Process -> model of all that are watched, for who takes this over."""
        with self._lock:
            return dict(self._models)

    def take_over(self, models):
        """What another one watched."""
        with self._lock:
            self._models.update({int(pid): str(name) for pid, name in models.items()})

    def alive(self, name):
        """Processes of its workers that go on."""
        return [pid for pid, model in self.known().items() if model == name and _goes_on(pid)]

    def has_ended(self, name):
        """Whether some of its workers ended by themselves."""
        return any(model == name and state_of(pid) == "Z" for pid, model in self.known().items())

    @property
    def is_in_doubt(self):
        """Whether some have ended that Triton may yet have ended itself."""
        return bool(self._doubtful)

    def ended(self):
        """Model -> processes that ended by themselves, and were so the last time, too."""
        found = {}
        doubtful = set()
        for pid, name in self.known().items():
            state = state_of(pid)
            if not state:
                self.forget([pid])
            elif state == "Z":
                doubtful.add(pid)
                if pid in self._doubtful:
                    found.setdefault(name, []).append(pid)
        self._doubtful = doubtful
        return found

    def crash(self, name, ended):
        """What there is to tell of it."""
        reason = how_it_ended(ended[-1])
        return Crash(reason, tuple(self._last_lines(name)), len(ended), len(self.alive(name)))

    def is_watched(self, pids):
        return set(pids) <= set(self.known())

    def retire(self, name):
        """Its workers of now are not watched any more: those that go on."""
        pids = [pid for pid, model in self.known().items() if model == name]
        with self._lock:
            self._retired.update(pids)
        self.forget(pids)
        return [pid for pid in pids if _goes_on(pid)]

    def forget(self, pids):
        """They are not watched any more."""
        with self._lock:
            for pid in pids:
                self._models.pop(pid, None)

    def end_when_idle(self, pids):
        """Ends workers that were retired, once they have answered what they have."""
        end = time.monotonic() + _MAY_GO_ON_SECONDS
        ticks, since = {}, {}
        left = list(pids)
        while left:
            now = time.monotonic()
            for pid in list(left):
                used = processor_ticks(pid)
                if used != ticks.get(pid):
                    ticks[pid], since[pid] = used, now
                if not _goes_on(pid):
                    left.remove(pid)
                elif now - since[pid] > _IDLE_SECONDS or now > end:
                    left.remove(pid)
                    _kill(pid)
            time.sleep(_STEP_SECONDS)

    def _last_lines(self, name):
        """Of the log since the model's load began: what workers wrote, and Triton of it."""
        begin = max(self._begun.get(name, 0), self._log_size() - _TAIL_BYTES)
        try:
            with Path(self._log).open("rb") as file:
                file.seek(begin)
                lines = file.read(_TAIL_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return []
        told = [line for line in lines if line.strip() and _is_about(name, line)]
        return told[-_TAIL_LINES:]

    def _log_size(self):
        try:
            return Path(self._log).stat().st_size
        except OSError:
            return 0


def _is_about(name, line):
    """Triton's lines are ``I1127 22:15:41.238029 ...``; what workers write has no such form."""
    is_tritons = line[:1] in "IWEF" and line[1:5].isdigit() and line[5:6] == " "
    return line[:1] != "I" and name in line if is_tritons else line[:1] not in ("|", "+")


def _goes_on(pid):
    return state_of(pid) not in ("", "Z", "X")


def _kill(pid):
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(pid, signal.SIGKILL)
