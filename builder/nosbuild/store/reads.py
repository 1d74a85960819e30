"""The user's code runs; the files that it opened for reading come out, with their digests.

Python's audit events tell every ``open``; files opened by native code (safetensors, ONNX Runtime)
are not seen, so the steps name those of the model's own folder themselves.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nosbuild.store.folders import cache_folder
from nosbuild.store.hashing import sha256_of_file

_CODE = (".py", ".so")
_METADATA = ".dist-info/"
_OURS = Path(__file__).resolve().parents[1]
"""This package, whose version is known."""
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo")


class _Recorder:
    """One audit hook for the whole process (hooks cannot be removed), heard while recording."""

    def __init__(self) -> None:
        self.active: set[str] | None = None
        self.installed = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active is None or event != "open":
            return
        path, mode, flags = arguments
        if isinstance(mode, str):
            reads = not set(mode) & set("wax+")
        else:  # os.open
            reads = flags & os.O_ACCMODE == os.O_RDONLY
        if reads and isinstance(path, (str, bytes, os.PathLike)):
            self.active.add(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - no I/O in a hook


_RECORDER = _Recorder()


@contextmanager
def recorded_reads(folder: Path, scratch: Path) -> Iterator[dict[str, str]]:
    """Fill the dict with path -> sha256 when the block ends.

    What lies in ``scratch`` was made by the block itself, what lies in the cache by other steps or
    from a lock: neither counts. Python files count inside ``folder`` (the model's own code); those
    of installed packages are covered by their versions.
    """
    if not _RECORDER.installed:
        sys.addaudithook(_RECORDER.hook)
        _RECORDER.installed = True
    paths: set[str] = set()
    _RECORDER.active = paths
    digests: dict[str, str] = {}
    try:
        yield digests
    finally:
        _RECORDER.active = None
        for name in sorted(_source_file(path) for path in paths):
            path = Path(name)
            own = path.is_relative_to(folder)
            outside = any(path.is_relative_to(place) for place in (scratch, cache_folder())) or (
                not own
                and (
                    name.endswith(_CODE)
                    or name.startswith(_SYSTEM)
                    or _METADATA in name
                    or path.is_relative_to(_OURS)
                )
            )
            if not outside and path.is_file():
                digests[name] = sha256_of_file(path)


def _source_file(name: str) -> str:
    """The .py that a cached .pyc stands for: where the cache is fresh, Python opens only that."""
    if not name.endswith(".pyc"):
        return name
    try:
        return importlib.util.source_from_cache(name)
    except ValueError:
        return name
