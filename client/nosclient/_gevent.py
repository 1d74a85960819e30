"""What gRPC needs in a program whose threads gevent has made greenlets."""

from __future__ import annotations

import sys


def prepare_grpc() -> None:
    """Let gRPC wait in threads of its own, and greenlets for them, where gevent has patched.

    Without it a call stops all greenlets until it is answered, and a stream for ever.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return
    from grpc._cython import cygrpc
    from grpc.experimental import gevent

    if not getattr(cygrpc, "g_gevent_activated", False):  # once, by whomever
        gevent.init_gevent()
