"""The server's log goes in; what a model's workers wrote to it last comes out."""

import threading
from pathlib import Path

_TAIL_BYTES = 1 << 16
_TAIL_LINES = 20


class WorkerLog:
    """The file that Triton and all workers write to.

    Args:
        path: empty where there is none to read.
    """

    def __init__(self, path):
        self._path = path
        self._begun = {}
        """Model -> where the log ended when its last load began."""
        self._lock = threading.Lock()

    def begin(self, model):
        """It is being loaded."""
        with self._lock:
            self._begun[model] = self._size()

    def last_lines(self, model):
        """Since the model's load began: what workers wrote, and what Triton complained of it."""
        begin = max(self._begun.get(model, 0), self._size() - _TAIL_BYTES)
        try:
            with Path(self._path).open("rb") as file:
                file.seek(begin)
                lines = file.read(_TAIL_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return ()
        told = [line for line in lines if line.strip() and _is_about(model, line)]
        return tuple(told[-_TAIL_LINES:])

    def _size(self):
        try:
            return Path(self._path).stat().st_size
        except OSError:
            return 0


def _is_about(model, line):
    """Triton's lines are ``I1127 22:15:41.238029 ...``; what workers write has no such form."""
    is_tritons = line[:1] in "IWEF" and line[1:5].isdigit() and line[5:6] == " "
    return line[:1] != "I" and model in line if is_tritons else line[:1] not in ("|", "+")
