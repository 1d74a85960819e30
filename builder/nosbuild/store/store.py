"""The content-addressed build cache: a key goes in; the folder that a step once made comes out.

An entry is a folder ``<root>/<key>/`` with the step's files and ``entry.json``: the sha256 of
each, the step's result, and every file that the user's code read while the step ran. It appears
by one rename, so an interrupted step leaves no entry; what was read is checked again at each
use, so a changed weight file makes the entry stale even where no spec names that file.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from nosbuild.store.hashing import sha256_of_file, sha256_of_files, sha256_of_value
from nosbuild.store.in_use import use
from nosbuild.store.record import RECORD, Record, read_record, write_record
from nosbuild.store.scratch import scratch_folder


@dataclass(frozen=True)
class Entry:
    """A finished step: its folder, and the JSON-able result that it returned."""

    key: str
    folder: Path
    result: dict[str, Any]
    read: dict[str, str]
    """Every file that the user's code read -> sha256."""
    files: dict[str, str]
    """Every file of the entry -> sha256."""

    @property
    def digest(self) -> str:
        """Of the files: steps made from equal files are made once, whatever made those."""
        return sha256_of_value(self.files)


@dataclass(frozen=True)
class Miss:
    """No usable entry, and why."""

    reason: str


NEVER_MADE = Miss("never made with these inputs")


@dataclass
class Draft:
    """A step being made: write files into ``folder``, set ``result`` and ``read``."""

    folder: Path
    result: dict[str, Any] | None = None
    read: dict[str, str] | None = None
    about: dict[str, str] = field(default_factory=dict)
    """``step`` and ``model``, for whoever lists the cache."""


class Store:
    """Entries under one root; safe for several processes at once.

    What it found or made stays in use, so that no other process removes it, until ``release``,
    the end of a ``with`` block, or the end of the store itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._held: dict[str, int] = {}
        """Key -> descriptor that keeps its entry in use."""
        weakref.finalize(self, _close, self._held)

    def find(self, key: str) -> Entry | Miss:
        """The entry of that key, its files intact and everything it read unchanged."""
        try:
            descriptor = use(self.root / key / RECORD)
            if descriptor is None:
                return NEVER_MADE
            try:
                found = self._checked(key)
                if isinstance(found, Entry):
                    self._hold(key, os.dup(descriptor))
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as exc:
            return Miss(f"the cached entry is unreadable ({exc})")
        return found

    def _checked(self, key: str) -> Entry | Miss:
        folder = self.root / key
        record = read_record(folder)
        for name, digest in record.files.items():
            if sha256_of_file(folder / name) != digest:
                return Miss(f"the cached {name} is corrupt")
        for name, digest in record.read.items():
            if _digest_or_none(Path(name)) != digest:
                return Miss(f"{name} has changed")
        with suppress(OSError):  # a cache that others own may be read all the same
            os.utime(folder / RECORD)  # the time of last use
        return Entry(key, folder, record.result, record.read, record.files)

    @contextmanager
    def draft(self, key: str) -> Iterator[Draft]:
        """A folder to work in; it becomes the entry of ``key`` if the block sets a result.

        Where the block raises, or sets none, nothing is kept.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with scratch_folder(self.root) as scratch:
            draft = Draft(scratch / "entry")
            draft.folder.mkdir()
            yield draft
            if draft.result is not None:
                self._finish(key, draft)

    def release(self) -> None:
        """Nothing is in use any more."""
        _close(self._held)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _finish(self, key: str, draft: Draft) -> None:
        files = [path for path in draft.folder.rglob("*") if path.is_file()]
        digests = sha256_of_files(files, draft.folder)
        record = Record(digests, draft.read or {}, draft.result or {}, draft.about)
        write_record(record, draft.folder)
        # In use before it bears its key: nobody can remove it in between.
        descriptor = use(draft.folder / RECORD)
        if descriptor is not None:
            self._hold(key, descriptor)
        final = self.root / key
        while True:
            try:
                draft.folder.replace(final)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return
            remove_entry(final)  # stale, corrupt, or made by another process meanwhile

    def _hold(self, key: str, descriptor: int) -> None:
        if (earlier := self._held.pop(key, None)) is not None:
            os.close(earlier)
        self._held[key] = descriptor


def remove_entry(entry: Path) -> None:
    """Remove an entry's folder; one that another process has removed is no error."""
    # Moved away first: nobody may find half an entry.
    with scratch_folder(entry.parent) as stale, suppress(FileNotFoundError):
        entry.replace(stale / "entry")


def _close(held: dict[str, int]) -> None:
    while held:
        os.close(held.popitem()[1])


def _digest_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None
