"""Which workers belong to which model goes in; which of them ended by themselves comes out.

A worker that Triton ends is asked by Triton how it ended, and is gone then. One that ends by
itself stays what Unix calls a zombie: Triton takes no notice, calls its model ready, and fails its
requests.
"""

import re
import threading

from .crashes import Crash
from .processes import Process
from .workers import memory_of, workers_of_models

_HUNG = re.compile(r"no answer within [\d.]+ s \(max_execution_seconds\)")
"""What a worker says that ends because it hangs (``execution_deadline.py``)."""


class WorkerWatch:
    """The workers of one Triton; any thread may call it.

    Args:
        pid: Triton's.
        names: gives those of all models.
        devices: DeviceMemory of this machine.
        log: WorkerLog of the server.
    """

    def __init__(self, pid, names, devices, log):
        self._pid = pid
        self._names = names
        self._devices = devices
        self._log = log
        self._lock = threading.Lock()
        self._models = {}
        self._retired = set()
        self._loading = set()
        self._doubtful = set()
        self._told = set()

    def begin(self, name):
        """The model is being loaded: from now on its workers may end."""
        self._log.begin(name)
        with self._lock:
            self._loading.add(name)

    def end(self, name):
        """Its load is over."""
        self.list()
        with self._lock:
            self._loading.discard(name)

    def list(self):
        """Model -> its workers, the newest first; they are watched now."""
        found = workers_of_models(self._pid, self._names())
        with self._lock:
            self._retired = {one for one in self._retired if one.state()}
            for name, workers in found.items():
                self._models.update((one, name) for one in workers if one not in self._retired)
        return found

    def memory(self):
        """Model -> Sizes of each of its workers, the newest first."""
        return memory_of(self.list(), self._devices.of_processes())

    def kept(self):
        """All that are watched, as JSON-able data, for who takes this over."""
        with self._lock:
            return [[one.pid, one.started, name] for one, name in self._models.items()]

    def take_over(self, kept):
        """What another one watched."""
        with self._lock:
            for pid, started, name in kept:
                self._models[Process(int(pid), int(started))] = str(name)

    def of(self, name):
        """The workers of the model that are watched, whether they have ended or not."""
        with self._lock:
            return {one for one, model in self._models.items() if model == name}

    def has_ended(self, name):
        """Whether some of its workers ended by themselves."""
        return any(one.state() == "Z" for one in self.of(name))

    @property
    def is_in_doubt(self):
        """Whether some have ended just now that Triton may yet have ended itself."""
        return bool(self._doubtful - self._told)

    def ended(self):
        """Model -> those that ended by themselves, and were so the last time, too."""
        if self._loading:
            self.list()  # before they can end: what has ended does not tell whose it was
        with self._lock:
            watched = dict(self._models)
        found = {}
        doubtful = set()
        for one, name in watched.items():
            state = one.state()
            if not state:
                self.forget([one])
            elif state == "Z":
                doubtful.add(one)
                if one in self._doubtful:
                    found.setdefault(name, set()).add(one)
        self._doubtful = doubtful
        self._told = {one for ones in found.values() for one in ones}
        return found

    def crash(self, name, ended):
        """What there is to tell of it."""
        last = max(ended, key=lambda one: one.started)
        survivors = sum(one.goes_on() for one in self.of(name))
        lines = self._log.last_lines(name)
        hung = next((found[0] for line in lines if (found := _HUNG.search(line))), "")
        reason = f"gave {hung}, and was ended" if hung else last.how_it_ended()
        return Crash(reason, lines, len(ended), survivors)

    def retire(self, name, workers=None):
        """These workers of the model, or all, are not watched any more: those that go on."""
        workers = self.of(name) if workers is None else workers
        with self._lock:
            self._retired.update(workers)
        self.forget(workers)
        return [one for one in workers if one.goes_on()]

    def forget(self, workers):
        """They are not watched any more, unless they are listed again."""
        with self._lock:
            for one in workers:
                self._models.pop(one, None)
