"""Runs one Triton server, and cleans up after it whatever happens to whoever asked for it.

A script of the standard library only, run as ``python -I -S supervisor.py`` in a session of its
own, so that a Ctrl-C in the terminal does not reach it. Enters: one JSON line on standard input
(``Orders`` in process.py), then ``stop``, ``kill`` or ``keep-log``, a line each. Leaves: JSON lines
on standard output, ``{"pid": ...}`` or ``{"error": ...}`` first and ``{"exit": ...}`` last.

The pipe closes when the parent ends, kill -9 included; then the server is stopped. A stop lets
requests in flight finish, ends every process of the server, and removes its shared memory, its
state file, the folders made for it and (unless it shall be kept) its log.
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPPED = b"All models are stopped, unloading models"
_LIVE = re.compile(rb"Found (\d+) live models")
_UNLOADED = b'] "successfully unloaded '
_ESTABLISHED = "01"
"""As in the kernel's tcp_states.h."""
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
        if self.status is not None:
            self.keep_log = True  # it ended unasked: the log tells why
        else:
            seen = self.log.stat().st_size
            os.kill(self.pid, signal.SIGTERM)
            self.wait_for_unload(seen, time.monotonic() + self.orders["drain_seconds"])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _REAP_SECONDS
        while not self.reap() and time.monotonic() < deadline:
            time.sleep(_STEP_SECONDS)

    def wait_for_unload(self, seen: int, deadline: float) -> None:
        """Waits for the server's end, its models' end, the deadline, or the order to kill.

        A model unloads once its requests in flight are answered, and then takes a second for each
        of its workers. What Triton does after the last model takes two more and helps nobody, as
        does waiting for models while no client waits for an answer.
        """
        pipe_is_open = True
        while not self.kill and time.monotonic() < deadline:
            self.reap()
            if self.status is not None or self.has_nothing_to_do(seen):
                return
            ready, _, _ = select.select([0] * pipe_is_open, [], [], _STEP_SECONDS)
            if ready:
                said = os.read(0, 4096).split()
                pipe_is_open = bool(said)
                self.keep_log |= b"keep-log" in said
                self.kill |= b"kill" in said

    def has_nothing_to_do(self, seen: int) -> bool:
        """True once Triton's log, after its first ``seen`` bytes, and its connections say so."""
        with self.log.open("rb") as log:
            log.seek(seen)
            text = log.read()
        if _STOPPED in text and not self.orders["finalizes"] and not self.is_connected():
            return True
        live = _LIVE.search(text)
        return live is not None and text.count(_UNLOADED) >= int(live[1])

    def is_connected(self) -> bool:
        """True while a client holds a connection to one of the server's ports."""
        ports = {f"{port:04X}" for port in self.orders["ports"]}
        for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
            if not table.exists():
                continue
            for row in table.read_text().splitlines()[1:]:
                _, local, _, state = row.split()[:4]
                if state == _ESTABLISHED and local.rpartition(":")[2] in ports:
                    return True
        return False

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
        for folder in self.orders["folders"]:
            shutil.rmtree(folder, ignore_errors=True)
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
