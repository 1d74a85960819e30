"""Who started a container: it ends with that process, and what outlived one is found."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nosbuild.errors import HostError
from nosbuild.runtime.docker.engine import Engine, sdk
from nosbuild.runtime.docker.links import LINKS, remove_abandoned_links, remove_links
from nosbuild.runtime.docker.refusals import refusals
from nosbuild.runtime.service_record import start_time

OWNER = "nosbuild.owner"
"""Label of a container that ends with a process: ``host:pid:seconds since the epoch``."""
_SAME_SECONDS = 2.0


def this_process() -> str:
    """The label's value for this process."""
    started = start_time(os.getpid()) or 0.0
    return f"{socket.gethostname()}:{os.getpid()}:{started:.2f}"


def remove_abandoned(engine: Engine, say: Callable[[str], None]) -> None:
    """Stop and remove the containers of processes of this machine that have ended.

    Raises:
        HostError: the engine does not answer.
    """
    with refusals(engine, "list its containers"):
        found = [
            *engine.client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True),
            *engine.client.containers.list(all=True, filters={"label": LINKS}, ignore_removed=True),
        ]
    used = {each.labels.get(LINKS, "") for each in found}
    for container in {each.id: each for each in found}.values():
        if not _has_ended(container.labels.get(OWNER, "")):
            continue
        say(f"Removing the container {container.name}, which an earlier nosbuild serve left")
        # Its own guard may be at it, or another process.
        with contextlib.suppress(sdk().errors.APIError):
            container.remove(force=True, v=True)
        remove_links(container.labels.get(LINKS, ""))
    remove_abandoned_links(engine.url, used)


def _has_ended(owner: str) -> bool:
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        started = float(owner.rpartition(":")[2])
    except ValueError:
        return False
    now = start_time(int(rest))
    return now is None or abs(now - started) > _SAME_SECONDS


class ContainerGuard:
    """A process that stops a container once this one has ended in whatever way."""

    def __init__(self, engine: Engine, container: str, seconds: int, links: str) -> None:
        """Starts it.

        Args:
            engine: of this machine.
            container: the container's id.
            seconds: that the server has to end by itself.
            links: its folder of links here, removed with it; may be empty.

        Raises:
            HostError: it does not start.
        """
        script = Path(__file__).with_name("guard.py")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for us
                text=True,
            )
        except OSError as error:
            raise HostError(f"{sys.executable} does not start: {error}") from error
        orders: dict[str, Any] = {"socket": urlsplit(engine.url).path, "container": container}
        orders |= {"seconds": seconds, "links": links}
        self._say(json.dumps(orders))

    def release(self) -> None:
        """The container needs it no more. Again is harmless."""
        self._say("release")
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def take_over(self) -> None:
        """Lets it stop the container now, as if this process had ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # somebody ended it: the label is left
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
