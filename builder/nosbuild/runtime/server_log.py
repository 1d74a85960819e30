"""Triton's log: the lines that matter in it, and its way to the terminal."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

_PREFIX = re.compile(r'^[IWEF]\d{4} \S+ \d+ \S+:\d+\] "?')
_ERROR = re.compile(
    r"^(E\d{4} |F\d{4} |error:|Traceback |\S*Error: |\[libprotobuf ERROR)|: unrecognized option"
)
_NO_GPU = ("CudaDriverHelper has not been initialized", "Failed to initialize NVML")
"""What Triton calls errors on every machine without a GPU."""
_LAST_LINES = 12
_FOLLOW_SECONDS = 0.2


def last_lines(log: Path, count: int = _LAST_LINES) -> list[str]:
    """The last lines, tables and empty lines left out; none where there is no log."""
    return [line for line in _lines(log) if line.strip() and not line.startswith(("|", "+"))][
        -count:
    ]


def error_lines(log: Path) -> list[str]:
    """What Triton and the models said went wrong, without time stamps; in order."""
    return [
        _bare(line)
        for line in _lines(log)
        if _ERROR.search(line) and not any(known in line for known in _NO_GPU)
    ]


def poll_failure(log: Path, model: str) -> str:
    """Why Triton could not read a model's folder: the last such line, and the parser's before it.

    Empty where the log does not tell.
    """
    lines = _lines(log)
    for position in range(len(lines) - 1, -1, -1):
        bare = _bare(lines[position])
        if f"'{model}'" in bare and ("Poll failed" in bare or "failed to poll" in bare):
            reason = bare.partition(f"'{model}': ")[2]
            before = lines[position - 1] if position else ""
            if before.startswith("[libprotobuf ERROR"):
                reason += ": " + before.rpartition("ModelConfig: ")[2]
            return reason
    return ""


def _bare(line: str) -> str:
    return _PREFIX.sub("", line).rstrip().removesuffix('"')


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


class LogEcho:
    """Copies what is appended to a log to standard error, until closed."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="triton-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copies the rest and ends."""
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._log.open(errors="replace") as log:
            while True:
                closing = self._closing.wait(_FOLLOW_SECONDS)
                sys.stderr.write(log.read())
                sys.stderr.flush()
                if closing:
                    return
