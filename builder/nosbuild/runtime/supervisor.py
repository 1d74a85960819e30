"""Runs one Triton server, and cleans up after it whatever happens to whoever asked for it.

A script of the standard library only, run as ``python -I -S supervisor.py`` in a session of its
own, so that a Ctrl-C in the terminal does not reach it. Enters: one JSON line on standard input
(``Orders`` in process.py), then ``stop``, ``kill`` or ``keep-log``, a line each. Leaves: JSON lines
on standard output, ``{"pid": ...}`` or ``{"error": ...}`` first and ``{"exit": ...}`` last.

The pipe closes when the parent ends, kill -9 included; then the server is stopped. A stop lets
requests in flight finish, ends every process of the server, and removes its shared memory, its
state file and (unless it shall be kept) its log.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DRAINED = b"All models are stopped, unloading models"
"""What Triton logs once every request in flight has been answered."""
_PARENT_CHECK_SECONDS = 1.0
_STEP_SECONDS = 0.02
_REAP_SECONDS = 2.0


class Supervisor:
    """One server process, its process group, and what it leaves behind."""

    def __init__(self, orders: dict[str, Any], wakeup: int) -> None:
        self.orders = orders
        self.wakeup = wakeup
        self.log = Path(orders["log"])
        self.keep_log = bool(orders["keep_log"])
        self.pid = 0
        self.status: int | None = None
        self.stop = False
        self.kill = False

    def start(self) -> None:
        """Starts the server in a process group of its own."""
        libc = ctypes.CDLL(None, use_errno=True)
        # Workers whose server died become ours, so that they can be waited for.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

        def in_child() -> None:
            os.setpgid(0, 0)
            # Second line of defence: the server ends if this process is killed.
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            os.dup2(log.fileno(), 2)
            child = subprocess.Popen(
                self.orders["command"],
                env=self.orders["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=in_child,
            )
        self.pid = child.pid
        child.returncode = 0  # reap() waits for it, among others

    def run(self) -> None:
        """Waits until the server has ended, or shall end."""
        while self.status is None and not self.stop:
            ready, _, _ = select.select([0, self.wakeup], [], [], _PARENT_CHECK_SECONDS)
            self.listen(ready)
            self.reap()
            # The pipe stays open where the parent forked: a fork holds it too.
            if os.getppid() != self.orders["parent"]:
                self.stop = True

    def listen(self, ready: list[int]) -> None:
        """Reads what the parent says and which signals came."""
        if self.wakeup in ready:
            came = set(os.read(self.wakeup, 64))
            self.stop |= bool(came & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        if 0 in ready:
            said = os.read(0, 4096).split()
            self.keep_log |= b"keep-log" in said
            self.kill |= b"kill" in said
            self.stop |= not said or b"stop" in said or b"kill" in said

    def end(self) -> None:
        """Ends every process of the server, gently for as long as the orders allow."""
        if self.status is None:
            seen = self.log.stat().st_size
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + self.orders["drain_seconds"]
            self.step_until(lambda: self.drained(seen), deadline)
            deadline = time.monotonic() + self.orders["unload_seconds"]
            self.step_until(lambda: False, deadline)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _REAP_SECONDS
        while not self.reap() and time.monotonic() < deadline:
            time.sleep(_STEP_SECONDS)

    def step_until(self, done: Callable[[], bool], deadline: float) -> None:
        """Waits for the server's end, ``done``, the deadline, or the order to kill."""
        pipe_is_open = True
        while not self.kill and not done() and time.monotonic() < deadline:
            self.reap()
            if self.status is not None:
                return
            ready, _, _ = select.select([0] * pipe_is_open, [], [], _STEP_SECONDS)
            if ready:
                said = os.read(0, 4096).split()
                pipe_is_open = bool(said)
                self.keep_log |= b"keep-log" in said
                self.kill |= b"kill" in said

    def drained(self, seen: int) -> bool:
        """True once Triton has said so in the part of its log after ``seen``."""
        with self.log.open("rb") as log:
            log.seek(seen)
            return _DRAINED in log.read()

    def reap(self) -> bool:
        """Waits for every process that has ended; True where none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)

    def clean(self) -> None:
        """Removes what the server and this process left outside the log's folder."""
        for region in Path("/dev/shm").glob(self.orders["shm_prefix"] + "*"):
            region.unlink(missing_ok=True)
        (Path(self.orders["services"]) / f"{self.pid}.json").unlink(missing_ok=True)
        if not self.keep_log:
            self.log.unlink(missing_ok=True)


def _tell(message: dict[str, Any]) -> None:
    # The parent may be gone.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def _first_line() -> bytes:
    line = b""
    # Byte by byte: what follows belongs to select.
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def main() -> int:
    """The script."""
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    line = _first_line()
    if not line:
        return 0  # the parent ended before it gave its orders
    supervisor = Supervisor(json.loads(line), wakeup)
    try:
        supervisor.start()
    except OSError as error:
        _tell({"error": str(error)})
        return 1
    _tell({"pid": supervisor.pid})
    try:
        supervisor.run()
    finally:
        supervisor.end()
        supervisor.clean()
    _tell({"exit": supervisor.status})
    return 0


if __name__ == "__main__":
    sys.exit(main())
