"""Calls go in, futures come out: threads that one client starts as it needs them.

``concurrent.futures.ThreadPoolExecutor`` would hold up the end of the interpreter until all that
was submitted has been answered; these are daemon threads, and what waits then is dropped.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any

from nosclient._after_fork import call_in_child

_THREADS = 64


class WorkerPool:
    """Runs calls side by side, up to 64 or as many as the widest ``map`` asked for."""

    def __init__(self) -> None:
        self._state = _State()
        # The threads know the state alone: a client that is forgotten takes them with it.
        self._close = weakref.finalize(self, self._state.close)
        call_in_child(self, WorkerPool._begin_anew)

    def submit(self, call: Callable[[], Any], at_least: int = _THREADS) -> Future[Any]:
        """Run the call in a thread, in the context of this moment: a trace goes on there.

        Args:
            call: what to run.
            at_least: threads that the pool may have from now on.

        Returns:
            Its future; cancelled at once if the pool is closed.
        """
        future: Future[Any] = Future()
        if not self._state.put(future, partial(copy_context().run, call), at_least):
            future.cancel()
            future.set_running_or_notify_cancel()
        return future

    def close(self) -> None:
        """Cancel what waits and let the threads end; calls in flight are not waited for."""
        self._close()

    def _begin_anew(self) -> None:
        """In the child of a fork, where there are no threads; what waits is the parent's."""
        if self._close.detach() is not None:  # it is not closed
            self._state = _State()
            self._close = weakref.finalize(self, self._state.close)


class _State:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle = 0
        self._threads = 0
        self._limit = _THREADS
        self._is_closed = False

    def put(self, future: Future[Any], call: Callable[[], Any], at_least: int) -> bool:
        with self._changed:
            if self._is_closed:
                return False
            self._limit = max(self._limit, at_least)
            self._jobs.append((future, call))
            if self._idle < len(self._jobs) and self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name="nosclient", daemon=True).start()
            self._changed.notify()
        return True

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            waiting = [future for future, _ in self._jobs]
            self._jobs.clear()
            self._changed.notify_all()
        for future in waiting:
            if future.cancel():
                future.set_running_or_notify_cancel()

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """One job, waited for; False when there will be none."""
        with self._changed:
            self._idle += 1
            while not self._jobs and not self._is_closed:
                self._changed.wait()
            self._idle -= 1
            if not self._jobs:
                return False
            future, call = self._jobs.popleft()
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it is for the one who waits
                future.set_exception(error)
            else:
                future.set_result(result)
        return True
