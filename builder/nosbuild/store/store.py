"""The content-addressed build cache: a key goes in; the folder that a step once made comes out.

An entry is a folder ``<root>/<key>/`` with the step's files and ``entry.json``: the sha256 of
each, the step's result, and every file that the user's code read while the step ran. It appears
by one rename, so an interrupted step leaves no entry; what was read is checked again at each
use, so a changed weight file makes the entry stale even where no spec names that file.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.store.hashing import sha256_of_file, sha256_of_files
from nosbuild.store.scratch import scratch_folder

_RECORD = "entry.json"


@dataclass(frozen=True)
class Entry:
    """A finished step: its folder, and the JSON-able result that it returned."""

    key: str
    folder: Path
    result: dict[str, Any]
    read: dict[str, str]
    """Every file that the user's code read -> sha256."""


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


class Store:
    """Entries under one root; safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Entry | Miss:
        """The entry of that key, its files intact and everything it read unchanged."""
        folder = self.root / key
        if not (folder / _RECORD).is_file():
            return NEVER_MADE
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            for name, digest in record["files"].items():
                if sha256_of_file(folder / name) != digest:
                    return Miss(f"the cached {name} is corrupt")
            entry = Entry(key, folder, record["result"], record["read"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            return Miss(f"the cached entry is unreadable ({exc})")
        for name, digest in entry.read.items():
            if _digest_or_none(Path(name)) != digest:
                return Miss(f"{name} has changed")
        return entry

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

    def _finish(self, key: str, draft: Draft) -> None:
        files = [path for path in draft.folder.rglob("*") if path.is_file()]
        record = {
            "files": sha256_of_files(files, draft.folder),
            "read": draft.read or {},
            "result": draft.result,
        }
        text = json.dumps(record, indent=1)
        (draft.folder / _RECORD).write_text(text, encoding="utf-8")
        final = self.root / key
        while True:
            try:
                draft.folder.replace(final)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return
            self._remove(final)  # stale, corrupt, or made by another process meanwhile

    def _remove(self, entry: Path) -> None:
        # Moved away first: nobody may find half an entry.
        with scratch_folder(self.root) as stale, suppress(FileNotFoundError):
            entry.replace(stale / "entry")  # missing where another process was faster


def _digest_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None
