"""The gallery is built ahead, on what the tests before its own leave of the processors.

Most tests keep one processor busy, and the gallery takes minutes. What is built here goes into the
cache of steps alone, at a low priority: the tests then build for themselves, and find the steps
that were made. Were this to fail, they would make them, and tell why.

Run as ``python ahead.py LOCK PID FOLDER...``: holds the lock, in which its process id stands, until
the models in those folders are built, or the process PID has ended. It leaves its parent at once,
so that tests that look at what pytest started do not see it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

import nosbuild

WORTH_IT = 100
"""Tests before the first one that needs the gallery."""


class Ahead:
    """A process that builds these models, begun now."""

    def __init__(self, lock: Path, folders: list[Path]) -> None:
        self.lock = lock
        lock.touch()
        command = [sys.executable, __file__, str(lock), str(os.getpid()), *map(str, folders)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def end(self) -> None:
        """End it, and with it the step that it is at, which is better made at full priority."""
        with self.lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.kill(int(file.read()), signal.SIGKILL)
                fcntl.flock(file, fcntl.LOCK_EX)


def main(lock: str, pid: str, *folders: str) -> None:
    """Take the lock, go into the background, and build."""
    with Path(lock).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if background := os.fork():
            print(background, file=file, flush=True)
            os._exit(0)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.nice(10)
        repository = Path(lock).with_name("models")
        arguments = (psutil.Process(int(pid)), repository)
        threading.Thread(target=_end_with, args=arguments, daemon=True).start()
        for folder in folders:
            nosbuild.build(folder, repository)
        shutil.rmtree(repository, ignore_errors=True)


def _end_with(tests: psutil.Process, repository: Path) -> None:
    while tests.is_running():
        time.sleep(1)
    shutil.rmtree(repository.parent, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
