"""A supervised server process, as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError, InternalError


@dataclass(frozen=True)
class Orders:
    """What the supervisor is told before it starts the server."""

    command: list[str]
    environment: dict[str, str]
    log: str
    keep_log: bool
    shm_prefix: str
    """Every entry of /dev/shm with this prefix is the server's."""
    services: str
    """Folder of the state files."""
    drain_seconds: float
    """How long requests in flight and models may take to finish once the server shall stop."""
    ports: list[int]
    """Those that clients send requests to."""
    finalizes: bool
    """A model's own code wants to be called at the end."""
    folders: list[str] = field(default_factory=list)
    """Made for this start, and removed with it."""
    parent: int = 0


class ServerProcess:
    """A running supervisor and the server under it."""

    def __init__(self, orders: Orders) -> None:
        """Starts both.

        Raises:
            HostError: the server's executable does not start.
        """
        script = Path(__file__).with_name("supervisor.py")
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._exit_code: int | None = None
        self._ended = False
        try:
            self._say(json.dumps({**asdict(orders), "parent": os.getpid()}))
            answer = self._hear()
        except BaseException:
            self._close()
            raise
        if "pid" not in answer:
            self._close()
            if "error" in answer:
                raise HostError(
                    f"{orders.command[0]} does not start: {answer['error']}",
                    "Run 'nosbuild doctor' to see what is missing.",
                )
            raise InternalError(f"the supervisor of the server died; see {orders.log}")
        self.pid: int = answer["pid"]

    @property
    def is_running(self) -> bool:
        """False once the server has ended and everything of it is cleaned up."""
        return self._supervisor.poll() is None

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the server has ended; its exit code (negative: the signal that killed it).

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        self._supervisor.wait(timeout)
        if not self._ended:
            self._ended = True
            self._exit_code = self._hear().get("exit")
            self._close()
        return self._exit_code

    def stop(self, *, keep_log: bool = False) -> None:
        """Stops the server and waits until nothing of it is left; a Ctrl-C meanwhile kills it."""
        if self._ended:
            return
        self._say("keep-log\nstop" if keep_log else "stop")
        try:
            self.wait()
        except KeyboardInterrupt:
            self._say("kill")
            self.wait()
            raise

    def _say(self, line: str) -> None:
        assert self._supervisor.stdin is not None
        try:
            self._supervisor.stdin.write(line.encode() + b"\n")
            self._supervisor.stdin.flush()
        except BrokenPipeError:
            # It has ended by itself; wait() tells how.
            return

    def _hear(self) -> dict[str, Any]:
        assert self._supervisor.stdout is not None
        line = self._supervisor.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {}
        return answer

    def _close(self) -> None:
        """Closes the pipes, which stops the supervisor if it still runs, and waits for it."""
        assert self._supervisor.stdin is not None and self._supervisor.stdout is not None
        # Unsent words for a supervisor that is gone; the descriptor is closed all the same.
        with contextlib.suppress(BrokenPipeError):
            self._supervisor.stdin.close()
        self._supervisor.wait()
        self._supervisor.stdout.close()
