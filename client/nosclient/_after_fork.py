"""What begins anew in the child of ``os.fork()``, where threads and connections are not carried on.

A child has one thread: those of a pool are gone, a lock that another thread held stays locked, and
a connection's bytes would be shared with the parent. So clients make all of that anew there.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from nosclient._errors import NotAfterFork

_owners: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()
_users_of_grpc: set[int] = set()
"""Process ids: of this one, and of those that it was forked from."""
_lost: set[int] = set()
"""Those that gRPC's own way through a fork does not help."""


def call_in_child(owner: Any, begin_anew: Callable[[Any], None]) -> None:
    """After a fork, call ``begin_anew(owner)`` in the child, if the owner is still there."""
    _owners[owner] = begin_anew


def use_grpc() -> None:
    """Note that this process uses gRPC from now on: it starts threads with the first channel.

    Raises:
        NotAfterFork: its parent did, and every call would hang here, whatever its deadline.
    """
    process = os.getpid()
    if _users_of_grpc - {process} and (process in _lost or not _stands_forks()):
        raise NotAfterFork(
            "gRPC was in use in this process's parent when it forked, and would hang here: fork "
            'first and call then; or start processes with multiprocessing\'s "spawn" or '
            '"forkserver"; or use http://; or set GRPC_ENABLE_FORK_SUPPORT=1 before the program '
            "starts, which helps where no call is in flight and no AsyncClient open at the fork"
        )
    _users_of_grpc.add(process)


def lose_grpc() -> None:
    """In the child of a fork: the parent had an asynchronous channel open."""
    _lost.add(os.getpid())


def _stands_forks() -> bool:
    from grpc._cython import cygrpc

    is_enabled: bool = cygrpc.is_fork_support_enabled()
    return is_enabled


def _in_child() -> None:
    for owner, begin_anew in list(_owners.items()):
        begin_anew(owner)


os.register_at_fork(after_in_child=_in_child)
