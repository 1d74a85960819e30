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
from .jobs import DROP, INDEX, LOAD, LOOK, RESTART, UNLOAD
from .looking import Seen
from .overrides import instances_of, override
from .refusal import INTERNAL, Refusal
from .worker_ends import end_when_idle

_WATCH_SECONDS, _SURE_SECONDS = 0.2, 0.3
"""Between two looks at which workers go on; the second where one has ended, which Triton may have
done, and asks next."""
_LOAD_SECONDS = 600.0
_UNLOAD_SECONDS = 600.0
_POLL_SECONDS = 0.02
_ENDED_SECONDS = 1.5
"""A worker that ended for so long was not ended by Triton just now."""
_PAUSE_SECONDS = 0.25
"""Before a server that did not answer is looked at again."""
_CLOSE = object()


class Running:
    """The threads of one manager.

    Args:
        make_manager: given the function that begins jobs.
        server: an OwnServer.
        watch: a WorkerWatch.
        kept: file for what outlives this process.
        warn: told, in words, what goes wrong.
        show: called with what is kept and what each model takes, whenever it changes; None: not.
    """

    def __init__(self, make_manager, server, watch, kept, warn, show=None):
        self._server = server
        self._watch = watch
        self._kept = Path(kept)
        self._warn = warn
        self._show = show
        self._events = queue.SimpleQueue()
        self._manager = make_manager(self._begin)
        self._restore()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="model manager", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch_workers, name="worker watch", daemon=True).start()

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
        self._closed.set()
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

    def _begin(self, job):
        work = {
            LOOK: self._look,
            INDEX: self._index,
            LOAD: self._load,
            RESTART: self._restart,
            UNLOAD: self._unload,
            DROP: self._drop,
        }[job.kind]
        self._in_background(work, job)

    def _in_background(self, work, argument):
        threading.Thread(target=work, args=(argument,), daemon=True).start()

    def _look(self, _):
        try:
            states = self._server.states()
            usage = self._server.usage()
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            self._warn(f"the server does not tell its models: {error}")
            time.sleep(_PAUSE_SECONDS)
            self._events.put(lambda manager: manager.looked(None))
            return
        now = time.time()
        idle = {name: max(0.0, now - one.last) for name, one in usage.items() if one.last}
        seen = Seen(states, idle, self._memory(), usage)
        self._events.put(lambda manager: manager.looked(seen))

    def _index(self, _):
        rows, reason = [], ""
        try:
            rows = self._server.index()
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
        self._events.put(lambda manager: manager.indexed(rows, reason))

    def _load(self, job):
        began = time.monotonic()
        before = self._watch.of(job.name)
        self._watch.begin(job.name)
        try:
            config = self._load_as_asked(job)
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
            self._watch.end(job.name)
            self._events.put(lambda manager: manager.not_loaded(job.name, reason))
            return
        seconds = time.monotonic() - began
        self._watch.end(job.name)
        if job.replaces and self._watch.of(job.name) - before:
            self._watch.retire(job.name, before)  # Triton ends them, or has ended with them
        sizes = self._memory().get(job.name, ())
        self._events.put(lambda manager: manager.loaded(job.name, seconds, sizes, config))

    def _load_as_asked(self, job):
        """The configuration that it is loaded with; None where the server does not tell."""
        if job.config is not None:
            config = override(job.config, job.instances, job.restarts)
            self._server.load(job.name, _LOAD_SECONDS, config)
            return job.config
        self._server.load(job.name, _LOAD_SECONDS)  # as its file says
        try:
            config = self._server.config(job.name)
        except Exception as error:  # noqa: BLE001 - it is loaded all the same
            self._warn(f"the server does not tell how {job.name!r} is configured: {error}")
            return None
        if job.instances not in (None, instances_of(config)):
            changed = override(config, job.instances, job.restarts)
            self._server.load(job.name, _LOAD_SECONDS, changed)
        return config

    def _restart(self, job):
        """Unloaded at once, so that who asks for it waits instead of meeting what has ended.

        Triton never ends an unload of which a worker has ended, but begins a load meanwhile.
        """
        self._warn(f"{job.name!r} is loaded again: a worker process of it has ended")
        left = self._take_down(job)
        self._events.put(lambda manager: manager.taken_down(job.name))
        if job.has_room:
            self._in_background(end_when_idle, left)
        else:
            end_when_idle(left)
        self._load(job)

    def _take_down(self, job):
        """Has it unloaded; the workers of it that go on, which nobody else ends."""
        try:
            self._server.begin_unload(job.name)
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            self._warn(f"{job.name!r} is not unloaded: {error}")
        return self._watch.retire(job.name)

    def _drop(self, job):
        end_when_idle(self._take_down(job))
        self._events.put(lambda manager: manager.unloaded(job.name, is_stuck=True))

    def _unload(self, job):
        reason, is_stuck = "", False
        try:
            self._server.begin_unload(job.name)
            is_stuck = not self._is_unloaded(job.name)
        except Exception as error:  # noqa: BLE001 - the manager waits for the end of each job
            reason = str(error) or type(error).__name__
            self._warn(f"{job.name!r} is not unloaded: {reason}")
        self._events.put(lambda manager: manager.unloaded(job.name, reason, is_stuck))

    def _is_unloaded(self, name):
        """Waits for it; False where a worker had ended, so that Triton would wait for ever.

        Raises:
            OSError: neither, for too long.
        """
        end = time.monotonic() + _UNLOAD_SECONDS
        ended_since = None
        while self._server.states().get(name, "UNAVAILABLE") != "UNAVAILABLE":
            now = time.monotonic()
            ended_since = (ended_since or now) if self._watch.has_ended(name) else None
            if ended_since and now - ended_since > _ENDED_SECONDS:
                end_when_idle(self._watch.retire(name))
                return False
            if now > end:
                raise TimeoutError(f"{name!r} is not unloaded after {_UNLOAD_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        return True

    def _memory(self):
        """Sizes of each model's workers, the newest first; nothing where /proc does not tell."""
        try:
            return self._watch.memory()
        except Exception:  # noqa: BLE001 - the manager waits for the end of the job that asks
            self._warn(traceback.format_exc())
            return {}

    def _watch_workers(self):
        while not self._closed.wait(_SURE_SECONDS if self._watch.is_in_doubt else _WATCH_SECONDS):
            try:
                for name, ended in self._watch.ended().items():
                    self._events.put(
                        lambda manager, told=(name, ended): self._tell_crash(manager, *told)
                    )
            except Exception:  # noqa: BLE001 - a bug must not end the watch
                self._warn(traceback.format_exc())

    def _tell_crash(self, manager, name, ended):
        if ended <= self._watch.of(name) and manager.crashed(
            name, lambda: self._watch.crash(name, ended)
        ):
            self._watch.forget(ended)

    def _keep(self):
        new = self._kept.with_suffix(".new")
        data = self._manager.keep()
        if self._show:
            try:
                self._show(data, self._manager.charges())
            except Exception:  # noqa: BLE001 - models are loaded without metrics, too
                self._warn(f"no metrics from now on: {traceback.format_exc()}")
                self._show = None
        try:
            new.write_text(json.dumps({**data, "workers": self._watch.kept()}))
            new.replace(self._kept)
        except OSError as error:
            self._warn(f"pins and counts will be lost if this model is loaded again: {error}")

    def _restore(self):
        try:
            data = json.loads(self._kept.read_text())
            self._manager.restore(data)
            self._watch.take_over(data["workers"])
        except FileNotFoundError:
            return  # the first one of this server
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._warn(f"what an earlier manager kept cannot be read: {error}")


def triton_pid():
    """Of the process that started this worker."""
    return os.getppid()
