"""A share of a load goes in; what its callers saw comes out. Runs in a load process.

One thread is one caller: it waits for its answer outside of the interpreter lock.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable

from nosbuild.bench.level import Failures, Seen, Share, Target
from nosclient import Client, NosClientError, ServerUnavailable

_GONE_SECONDS = 3.0
"""Without any answer but "nobody is there": the server is gone."""
_PAUSE_SECONDS = 0.05
"""Between tries while nobody answers, which is found out within microseconds."""
_SPARE_CALLERS = 4
"""Of an open loop, to begin with; more are started when all of them wait for answers."""
_MOST_CALLERS = 512
"""Requests in flight from one process. Beyond it they leave late, which the lag tells."""


def make_client(target: Target) -> Client:
    """The client of a load process, which all its callers share."""
    # A request that failed is one that is told, not one that is sent again.
    return target.access.client(
        target.url, deadline=target.deadline, retries=0, shared_memory=target.shared_memory
    )


def callers_of(client: Client, target: Target, share: Share) -> Seen:
    """Make the load and wait for every answer."""
    before = client.stats()
    callers = _Callers(client, target, share)
    seen = callers.on_schedule() if share.schedule else callers.one_after_the_other()
    counted = (client.stats() - before).models.get(target.model)
    seen.run_twice = counted.run_twice if counted else 0
    return seen


class _Callers:
    """The callers of one share: threads, each with what it saw for itself."""

    def __init__(self, client: Client, target: Target, share: Share) -> None:
        self._client, self._target, self._share = client, target, share
        self._answered = share.begin
        """When the last answer came, or an error that only a server gives."""
        self._gone = ""
        self._seen: list[Seen] = []
        self._threads: list[threading.Thread] = []

    def one_after_the_other(self) -> Seen:
        """The closed loop."""
        for number in range(self._share.callers):
            self._start(self._keep_calling, self._share.first + number)
        return self._joined()

    def on_schedule(self) -> Seen:
        """The open loop: one thread waits for the next departure, others for its place."""
        schedule = array("d")
        schedule.frombytes(self._share.schedule)
        self._schedule = schedule
        self._departed = 0
        self._idle = 0
        self._place = threading.Lock()
        self._counting = threading.Lock()
        for _ in range(_SPARE_CALLERS):
            self._start(self._depart_in_turn, 0)
        seen = self._joined()
        seen.unsent = len(schedule) - self._departed
        return seen

    def _start(self, work: Callable[[Seen, int], None], number: int) -> None:
        seen = Seen()
        self._seen.append(seen)
        thread = threading.Thread(target=work, args=(seen, number), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _joined(self) -> Seen:
        total = Seen()
        for thread in self._threads:  # it may grow meanwhile
            thread.join()
        for seen in self._seen:
            total.add(seen)
        total.gone = self._gone
        return total

    def _keep_calling(self, seen: Seen, number: int) -> None:
        begin, end = self._share.begin, self._share.begin + self._share.seconds
        time.sleep(max(0.0, begin - time.monotonic()))
        while not self._gone:
            now = time.monotonic()
            if now >= end:
                return
            self._call(seen, number, now, now)
            number += 1

    def _depart_in_turn(self, seen: Seen, _: int) -> None:
        begin = self._share.begin
        while True:
            with self._counting:
                self._idle += 1
            with self._place:
                with self._counting:
                    self._idle -= 1
                number = self._departed
                if number == len(self._schedule) or self._gone:
                    return
                due = begin + self._schedule[number]
                time.sleep(max(0.0, due - time.monotonic()))
                self._departed += 1
                # Whoever waits takes this one's place. Without anyone it would have to wait for
                # an answer, and the load would follow the server instead of the schedule.
                if not self._idle and len(self._threads) < _MOST_CALLERS:
                    self._start(self._depart_in_turn, 0)
            self._call(seen, self._share.first + number, due, time.monotonic())

    def _call(self, seen: Seen, number: int, due: float, left: float) -> None:
        target = self._target
        inputs = target.requests[number % len(target.requests)]
        try:
            self._client.run(target.model, inputs, version=target.version)
        except NosClientError as error:
            self._failed(seen, error)
            return
        done = time.monotonic()
        self._answered = done
        seen.due.append(due - self._share.begin)
        seen.lag.append(left - due)
        seen.latency.append(done - due)

    def _failed(self, seen: Seen, error: NosClientError) -> None:
        kind = type(error).__name__
        seen.failures.setdefault(kind, Failures(0, error.message)).count += 1
        now = time.monotonic()
        if not isinstance(error, ServerUnavailable):
            self._answered = now
        elif now - self._answered > _GONE_SECONDS:
            self._gone = error.message
        else:
            time.sleep(_PAUSE_SECONDS)
