"""The end of whoever started a container is waited for; then the container ends, too.

Run as a script of the standard library alone, by ``ContainerGuard``: it reads one line of JSON
(``socket``, ``container``, ``seconds``, ``links``), then waits until its standard input is closed.
``release`` before that means that there is nothing to do any more.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys


class _Engine(http.client.HTTPConnection):
    """The engine behind a socket of this machine."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(path: str, method: str, url: str, timeout: float) -> None:
    engine = _Engine(path, timeout)
    try:
        engine.request(method, url)
        engine.getresponse().read()
    except OSError:
        return  # the engine has ended, and the container with it, or is found at the next start
    finally:
        engine.close()


def main() -> None:
    """Wait, then stop and remove the container."""
    orders = json.loads(sys.stdin.readline())
    if "release" in sys.stdin.read():
        return
    path, container, seconds = orders["socket"], orders["container"], orders["seconds"]
    _ask(path, "POST", f"/containers/{container}/stop?t={seconds}", seconds + 60.0)
    _ask(path, "DELETE", f"/containers/{container}?force=true&v=true", 60.0)
    if orders["links"]:
        shutil.rmtree(orders["links"], ignore_errors=True)


if __name__ == "__main__":
    main()
