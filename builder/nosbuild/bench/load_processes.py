"""A load goes in; it is made by several processes, and what all of them saw comes out."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

from nosbuild.bench.level import Level, Seen, Share, Target
from nosbuild.bench.load_process import PATIENCE_SECONDS
from nosbuild.errors import HostError

CALLERS_A_PROCESS = 4
"""What one interpreter is given: see docs/13-bench.md for what was measured."""
_HEAD_START = 0.05
"""Seconds until all processes have read their share."""
_SEED = 0


def processes_for(level: Level) -> int:
    """How many processes make this load: enough that none waits for its interpreter lock, and no
    more than there are processors, which the server wants too.
    """
    processors = len(os.sched_getaffinity(0))
    if level.is_open:
        return max(1, min(processors, round(level.rate / 500)))
    return max(1, min(processors, -(-level.concurrency // CALLERS_A_PROCESS)))


class LoadProcesses:
    """Processes that call one target; a context manager that ends them.

    They are spawned, and end when this process does, in whatever way.
    """

    def __init__(self, target: Target) -> None:
        """Of none yet; they start with the first load that needs them."""
        self._target = target
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the processes
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, count: int) -> None:
        """Have at least so many, ready to begin.

        Raises:
            HostError: one of them ended.
        """
        started = len(self._children)
        while len(self._children) < count:
            child = subprocess.Popen(
                [sys.executable, "-m", "nosbuild.bench.load_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
            self._children.append(child)
            self._send(child, self._target)
        for child in self._children[started:]:
            self._answer(child)  # it has imported all that it needs

    def make(self, level: Level, seconds: float, processes: int) -> Seen:
        """Make the load and wait until every request is answered.

        Raises:
            HostError: one of the processes ended.
        """
        self.start(processes)
        begin = time.monotonic() + _HEAD_START
        asked = self._children[:processes]
        for child, share in zip(asked, shares_of(level, seconds, begin, processes), strict=True):
            self._send(child, share)
        total = Seen()
        for child in asked:
            total.add(self._answer(child))
        return total

    def _send(self, child: subprocess.Popen[bytes], message: Target | Share) -> None:
        assert child.stdin is not None
        try:
            pickle.dump(message, child.stdin)
            child.stdin.flush()
        except OSError as error:
            raise self._ended(child) from error

    def _answer(self, child: subprocess.Popen[bytes]) -> Any:
        assert child.stdout is not None
        try:
            return pickle.load(child.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            raise self._ended(child) from error

    def _ended(self, child: subprocess.Popen[bytes]) -> HostError:
        code = child.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()[-5:]
        return HostError(
            "\n".join([f"a load process ended (exit code {code})", *said]),
            "Was it killed, for want of memory? Try fewer callers, or a lower rate."
            if code < 0
            else "This is a bug in nosbuild: please report it with these lines.",
        )

    def __enter__(self) -> LoadProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # It closes its client: the server maps memory for that until it is told.
        for child in self._children:
            _close(child.stdin)
        for child in self._children:
            try:
                child.wait(2 * PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            _close(child.stdout)
        self._log.close()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):  # what it did not read any more
            pipe.close()


def shares_of(level: Level, seconds: float, begin: float, processes: int) -> list[Share]:
    """The load, divided among so many processes."""
    if level.is_open:
        due = departures(level, seconds)
        return [
            Share(begin, seconds, schedule=due[k::processes].tobytes(), first=k)
            for k in range(processes)
        ]
    counts = [len(range(k, level.concurrency, processes)) for k in range(processes)]
    firsts = [sum(counts[:k]) for k in range(processes)]
    return [
        Share(begin, seconds, callers=count, first=first)
        for count, first in zip(counts, firsts, strict=True)
    ]


def departures(level: Level, seconds: float) -> array[float]:
    """When requests of an open loop leave, in seconds from its beginning; seeded."""
    import numpy as np

    if level.arrivals == "constant":
        return array("d", (np.arange(round(level.rate * seconds)) / level.rate).tolist())
    draws = np.random.default_rng(_SEED)
    many = round(level.rate * seconds * 1.5 + 100)
    moments = np.cumsum(draws.exponential(1 / level.rate, many))
    return array("d", moments[moments < seconds].tolist())
