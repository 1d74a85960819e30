"""``tensorrt`` or ``tensorrt_rtx`` goes in; the imported package comes out, and its messages."""

from __future__ import annotations

import importlib
import sys
from collections import deque
from typing import Any

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Python packages with one interface; the first is the faster one where both can be used."""

OLDEST_MAJOR = {"tensorrt": 10, "tensorrt_rtx": 1}
"""Older ones lack the strongly typed networks and the calls by tensor name that are used here."""

_KEPT_MESSAGES = 8


class LibraryMissing(Exception):
    """The package cannot be imported, or is too old; the text says which and why."""


def import_flavour(flavour: str) -> Any:
    """The package.

    Raises:
        LibraryMissing: not installed, broken, or too old.
    """
    try:
        library = importlib.import_module(flavour)
    except ModuleNotFoundError as error:
        if error.name != flavour:
            raise LibraryMissing(f"{flavour} lacks the package {error.name}") from error
        raise LibraryMissing(f"the Python package {flavour} is not installed") from error
    except (ImportError, OSError, RuntimeError) as error:  # NVIDIA's libraries are not found
        raise LibraryMissing(f"{flavour} does not start: {error}") from error
    version = str(getattr(library, "__version__", "0"))
    if int(version.split(".")[0]) < OLDEST_MAJOR[flavour]:
        raise LibraryMissing(f"{flavour} {version} is too old; {OLDEST_MAJOR[flavour]} is needed")
    return library


class Messages:
    """TensorRT's log: errors are kept, since calls that fail answer None and no reason."""

    def __init__(self, library: Any, *, quiet: bool = False) -> None:
        """Start it; ``quiet`` for errors and warnings only."""
        self.errors: deque[str] = deque(maxlen=_KEPT_MESSAGES)
        severity = library.ILogger.Severity
        names = {severity.INTERNAL_ERROR: "error", severity.ERROR: "error"}
        names |= {severity.WARNING: "warning"}
        if not quiet:
            names |= {severity.INFO: "info"}
        errors = self.errors

        class Logger(library.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                library.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                name = names.get(severity)
                if name == "error":
                    errors.append(" ".join(message.split()))
                if name:  # the verbose rest is thousands of lines
                    sys.stderr.write(f"{library.__name__} {name}: {message}\n")

        self.logger = Logger()

    def reason(self) -> str:
        """The errors so far, the first first."""
        return "; ".join(dict.fromkeys(self.errors)) or "it gives no reason"
