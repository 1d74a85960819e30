"""A process that makes load: shares of it come in on standard input, what was seen goes out.

Run as ``python -m nosbuild.bench.load_process``; both ways are pickles, from and to the process
that started it. It ends with its standard input, so with that process.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from nosbuild.bench.level import Seen

_Message = Any
"""A Target, then any number of Shares; None at the end."""
PATIENCE_SECONDS = 2.0
"""For its client to be closed, when no more is wanted of it."""


def main() -> None:
    """Say when it is ready; then answer each share with what its callers saw."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Before the thread, which may import numpy too, from a pickle: not both at once.
    from nosbuild.bench.callers import callers_of, make_client

    messages: SimpleQueue[_Message] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, messages), daemon=True).start()
    target = messages.get()
    with make_client(target) as client:
        _say(None, answers)  # ready
        while (share := messages.get()) is not None:
            _say(callers_of(client, target, share), answers)


def _say(answer: Seen | None, answers: BinaryIO) -> None:
    pickle.dump(answer, answers)
    answers.flush()


def _read(source: BinaryIO, messages: SimpleQueue[_Message]) -> None:
    """Hands the messages on; at the end None, and soon nothing, whatever is in flight."""
    try:
        while True:
            messages.put(pickle.load(source))
    except (EOFError, pickle.UnpicklingError):
        messages.put(None)
        time.sleep(PATIENCE_SECONDS)
        os._exit(0)


if __name__ == "__main__":
    main()
