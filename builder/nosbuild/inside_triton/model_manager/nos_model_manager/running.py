"""A manager at work: one thread that alone touches it, and one for each job that it begins.

Loads take seconds, and the server answers nobody else through a connection meanwhile, so each job
has a thread and a connection of its own. What ends is put into the one queue that the manager's
thread reads, as requests are: so there is nothing to lock.
"""

import json
import os
import queue
import threading
import time
import traceback
from pathlib import Path

from .demands import Waiter
from .looking import Seen
from .refusal import INTERNAL, Refusal
from .worker_memory import memory_of_models

_LOAD_SECONDS = 600.0
_UNLOAD_SECONDS = 600.0
_PAUSE_SECONDS = 0.25
"""Before a server that did not answer is looked at again."""
_CLOSE = object()


class Running:
    """The threads of one manager.

    Args:
        make_manager: given the function that begins jobs.
        server: an OwnServer.
        names: gives those of all models.
        pid: Triton's.
        kept: file for what outlives this process.
        warn: told, in words, what goes wrong.
    """

    def __init__(self, make_manager, server, names, pid, kept, warn):
        self._server = server
        self._names = names
        self._pid = pid
        self._kept = Path(kept)
        self._warn = warn
        self._events = queue.SimpleQueue()
        self._manager = make_manager(self._begin)
        self._restore()
        self._thread = threading.Thread(target=self._serve, name="model manager", daemon=True)
        self._thread.start()

    def submit(self, text, send):
        """Takes a request; ``send`` is called with its answer, a dict or a Refusal, later."""
        waiter = Waiter(send, float("inf"))
        self._events.put(lambda manager: self._ask(manager, text, waiter))

    def _ask(self, manager, text, waiter):
        try:
            manager.ask(text, waiter)
        except Exception as error:  # noqa: BLE001 - a bug is no reason to leave a request unanswered
            self._warn(traceback.format_exc())
            waiter.send(Refusal(INTERNAL, f"the request cannot be handled: {error}"))

    def close(self, timeout=5.0):
        """Answers all who wait, and ends."""
        self._events.put(_CLOSE)
        self._thread.join(timeout)

    def _serve(self):
        is_open = True
        while is_open:
            try:
                is_open = self._turn()
            except Exception:  # noqa: BLE001 - a bug must not end all that is loaded and unloaded
                self._warn(traceback.format_exc())
                time.sleep(_PAUSE_SECONDS)

    def _turn(self):
        """Does what can be done, then waits for what happens next; False at the end."""
        self._manager.step()
        self._tell()
        wakes_at = self._manager.wakes_at()
        timeout = None if wakes_at is None else max(0.0, wakes_at - time.monotonic())
        try:
            event = self._events.get(timeout=timeout)
            while event is not _CLOSE:
                event(self._manager)
                event = self._events.get_nowait()
        except queue.Empty:
            return True
        self._manager.close()
        self._tell()
        return False

    def _tell(self):
        for waiter, answer in self._manager.answers():
            waiter.send(answer)
        if self._manager.is_changed:
            self._keep()

    def _begin(self, job, name):
        jobs = {
            "look": self._look,
            "index": self._index,
            "load": self._load,
            "unload": self._unload,
        }
        target = jobs[job]
        threading.Thread(target=target, args=(name,), name=f"{job} {name}", daemon=True).start()

    def _look(self, _):
        try:
            states = self._server.states()
            used = self._server.last_used()
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            self._warn(f"the server does not tell its models: {error}")
            time.sleep(_PAUSE_SECONDS)
            self._events.put(lambda manager: manager.looked(None))
            return
        now = time.time()
        idle = {name: max(0.0, now - last) for name, last in used.items()}
        seen = Seen(states, idle, self._memory())
        self._events.put(lambda manager: manager.looked(seen))

    def _index(self, _):
        rows, reason = [], ""
        try:
            rows = self._server.index()
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
        self._events.put(lambda manager: manager.indexed(rows, reason))

    def _load(self, name):
        began = time.monotonic()
        try:
            self._server.load(name, _LOAD_SECONDS)
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
            self._events.put(lambda manager: manager.not_loaded(name, reason))
            return
        seconds = time.monotonic() - began
        size = self._memory().get(name, 0)
        self._events.put(lambda manager: manager.loaded(name, seconds, size))

    def _memory(self):
        """Bytes of each model's processes; nothing where /proc does not tell."""
        try:
            return memory_of_models(self._pid, self._names())
        except Exception:  # noqa: BLE001 - the manager waits for the end of the job that asks
            self._warn(traceback.format_exc())
            return {}

    def _unload(self, name):
        reason = ""
        try:
            self._server.unload(name, _UNLOAD_SECONDS)
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
            self._warn(f"{name!r} is not unloaded: {reason}")
        self._events.put(lambda manager: manager.unloaded(name, reason))

    def _keep(self):
        new = self._kept.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._manager.keep()))
            new.replace(self._kept)
        except OSError as error:
            self._warn(f"pins and counts will be lost if this model is loaded again: {error}")

    def _restore(self):
        try:
            self._manager.restore(json.loads(self._kept.read_text()))
        except FileNotFoundError:
            return  # the first one of this server
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._warn(f"what an earlier manager kept cannot be read: {error}")


def triton_pid():
    """Of the process that started this worker."""
    return os.getppid()
