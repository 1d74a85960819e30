"""Clients that are closed when the program ends, if nobody has closed them before.

Those that may share memory with a server, which maps it until it is told that it is free.
"""

from __future__ import annotations

import atexit
import weakref
from typing import Protocol


class _Closable(Protocol):
    def close(self) -> None: ...


_open: weakref.WeakSet[_Closable] = weakref.WeakSet()


def close_at_exit(client: _Closable) -> None:
    """Close it at the program's end, if it is still there."""
    _open.add(client)


@atexit.register
def _close_all() -> None:
    for client in list(_open):
        client.close()
