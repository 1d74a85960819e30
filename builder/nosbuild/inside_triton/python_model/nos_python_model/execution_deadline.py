"""How long one execution may take; a worker in which one takes longer says where, and ends.

Triton waits for a worker as long as it lives. One that has ended fails its requests within a
second, and whoever looks after the server loads its model again.

A thread of Python looks at what runs. It stands still where the execution hangs in native code that
holds the interpreter's lock; for that case it sets ``faulthandler``, whose thread is the C
library's, again and again to some time after the deadline. To set it for each execution would cost
each half a millisecond; an execution costs about a microsecond in this way.
"""

import contextlib
import faulthandler
import itertools
import os
import threading
import time
from types import FunctionType

PARAMETER = "max_execution_seconds"
"""Of config.pbtxt: the deadline, in seconds."""
_STDERR = 2  # Triton's log
_LAST_SECONDS = 5.0
"""In which everything is said that is left to say."""
_GRACE_SECONDS = 1.0
"""For a thread of Python to get its turn."""
_LEAST_PAUSE = 0.05
"""Seconds between two looks while there is work: each costs a millisecond."""


class BadDeadline(ValueError):
    """The parameter holds no number of seconds."""


def deadline_of(config, say_where, on_expiry=None):
    """The deadline of a model, None where it has none.

    Args:
        config: the model's configuration, parsed.
        say_where: see ``ExecutionDeadline``, and so for the next.
        on_expiry: likewise.

    Raises:
        BadDeadline: the parameter is no number.
    """
    text = config.get("parameters", {}).get(PARAMETER, {}).get("string_value", "")
    if not text:
        return None
    try:
        seconds = float(text)
        if not 0 < seconds <= threading.TIMEOUT_MAX / 2:
            raise ValueError
    except ValueError:
        raise BadDeadline(
            f"parameter {PARAMETER!r} of config.pbtxt is {text!r}; write a number of seconds above "
            "0, or remove it"
        ) from None
    return ExecutionDeadline(seconds, config["name"], say_where, on_expiry)


class ExecutionDeadline:
    """Watches the executions of one worker, any number of them at once.

    Args:
        seconds: that an execution may take.
        model: its name, for the log.
        say_where: says of threads, by their identifiers, where they are; the text goes to the log.
        on_expiry: told in words what is about to happen, before the process ends.
    """

    def __init__(self, seconds, model, say_where, on_expiry=None):
        self._seconds = seconds
        self._late = f"model {model!r}: no answer within {seconds:g} s ({PARAMETER})"
        self._say_where = say_where
        self._on_expiry = on_expiry
        self._pause = max(seconds / 8, _LEAST_PAUSE)
        self._numbers = itertools.count()
        self._running = {}  # number -> when it began, in which thread
        self._is_set = False  # faulthandler
        self._was_used = False
        self._wake = threading.Event()
        # Where nothing else can be said, faulthandler names this thread's file and function.
        where = f"nosbuild: {self._late}: its worker ends; where it hangs, the other threads say"
        code = self._watch.__func__.__code__.replace(co_filename=where)
        watch = FunctionType(code, globals())
        threading.Thread(target=watch, args=(self,), name="deadline", daemon=True).start()

    def guarded(self, execute):
        """The same function, each call of which is an execution."""

        def execute_in_time(requests):
            number = self._begin()
            try:
                return execute(requests)
            finally:
                del self._running[number]

        return execute_in_time

    @contextlib.contextmanager
    def execution(self):
        """What is done within is an execution."""
        number = self._begin()
        try:
            yield
        finally:
            del self._running[number]

    def _begin(self):
        number = next(self._numbers)
        self._running[number] = (time.monotonic(), threading.get_ident())
        self._was_used = True
        if not self._is_set:
            self._set()
            self._wake.set()
        return number

    def _set(self):
        # Whatever begins before it is set again, a pause from now, has its time.
        self._is_set = True
        patience = self._seconds + self._pause + _GRACE_SECONDS
        faulthandler.dump_traceback_later(patience, exit=True, file=_STDERR)

    def _watch(self):
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._is_set:
                time.sleep(self._until_next())
                self._look()

    def _until_next(self):
        """Seconds until the first deadline, a pause at most."""
        now = time.monotonic()
        ends = [began + self._seconds - now for began, _ in list(self._running.values())]
        return max(0.0, min([self._pause, *ends]))

    def _look(self):
        now = time.monotonic()
        running = list(self._running.values())
        late = [thread for began, thread in running if now - began >= self._seconds]
        if late:
            self._expire(late)
        if running or self._was_used:
            self._was_used = False
            self._set()
            return
        self._is_set = False  # before the rest: an execution that begins now sets it itself
        faulthandler.cancel_dump_traceback_later()
        if self._running:
            self._set()

    def _expire(self, threads):
        # Whatever is done here may hang as well.
        faulthandler.dump_traceback_later(_LAST_SECONDS, exit=True, file=_STDERR)
        _say(f"nosbuild: {self._late}: its worker, process {os.getpid()}, ends; it hangs at:\n")
        try:
            _say(self._say_where(threads))
            if self._on_expiry is not None:
                self._on_expiry(f"{self._late}, so its worker has ended; the log says where it was")
        except BaseException as error:  # noqa: BLE001 - it ends in any case
            _say(f"{type(error).__name__}: {error}\n")
            faulthandler.dump_traceback(file=_STDERR)
        os._exit(1)


def _say(text):
    # Past sys.stderr, whose lock a thread that hangs may hold.
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(_STDERR, data) :]
