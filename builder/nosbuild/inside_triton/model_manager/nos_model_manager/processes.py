"""Processes as /proc tells of them; one is known by its start, too, for numbers are given again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Process(NamedTuple):
    """One process; ``started`` in ticks of the clock since the system was."""

    pid: int
    started: int

    def state(self, proc=PROC):
        """The kernel's letter for what it does; ``Z``: it ended, and nobody has asked how; ``""``:
        it is gone.
        """
        return (self._stat(proc) or [""])[0]

    def goes_on(self, proc=PROC):
        """Whether it has not ended."""
        return self.state(proc) not in ("", "Z", "X")

    def processor_ticks(self, proc=PROC):
        """What it has used of processors, in ticks of the clock; 0 where it is gone."""
        fields = self._stat(proc)
        return int(fields[11]) + int(fields[12]) if fields else 0

    def how_it_ended(self, proc=PROC):
        """Of one that ended, which nobody has asked yet: words for people."""
        fields = self._stat(proc)
        code = int(fields[49]) if len(fields) > 49 else 0  # "exit_code" in man 5 proc
        if number := code & 0x7F:
            try:
                name = signal.Signals(number).name
            except ValueError:
                name = "of this system"
            memory = "; the kernel does that where memory lacks" * (number == signal.SIGKILL)
            return f"was ended by signal {number} ({name}{memory})"
        return f"ended with exit code {code >> 8}"

    def kill(self):
        """Ends it at once."""
        if self.goes_on():
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, signal.SIGKILL)

    def _stat(self, proc):
        fields = stat(self.pid, proc)
        return fields if fields and started(fields) == self.started else []


def stat(pid: int | str, proc: Path = PROC) -> list[str]:
    """The fields of /proc/PID/stat from the third on; empty where it is gone."""
    try:
        # The name of a process may be any bytes.
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def started(fields):
    """When it was, by the fields of ``stat``."""
    return int(fields[19]) if len(fields) > 19 else 0


def children_of_all(proc=PROC):
    """Process -> those that it started, by number."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            fields = stat(folder.name, proc)
            if fields:  # it may have ended just now
                found.setdefault(int(fields[1]), []).append(int(folder.name))
    return found
