"""What is known of a cached step goes into its ``entry.json``, and comes out of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nosbuild.store.hashing import sha256_of_value

RECORD = "entry.json"
_DIGEST = "sha256"


@dataclass(frozen=True)
class Record:
    """The content of an ``entry.json``."""

    files: dict[str, str]
    """File of the entry -> sha256."""
    read: dict[str, str]
    """Every file that the user's code read -> sha256."""
    result: dict[str, Any]
    about: dict[str, str] = field(default_factory=dict)
    """``step`` and ``model``, for people; entries of older versions have none."""


def write_record(record: Record, folder: Path) -> None:
    """Write it, with a digest of its own."""
    content = json.loads(json.dumps(asdict(record)))  # as it will be read: keys are strings
    text = json.dumps({**content, _DIGEST: sha256_of_value(content)}, indent=1)
    (folder / RECORD).write_text(text, encoding="utf-8")


def read_record(folder: Path) -> Record:
    """Read it back.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no record, or not as it was written.
    """
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{RECORD} is no record")
    digest = content.pop(_DIGEST, None)  # older versions wrote none
    if digest is not None and digest != sha256_of_value(content):
        raise ValueError(f"{RECORD} is not as it was written")
    try:
        record = Record(**content)
    except TypeError as exc:
        raise ValueError(f"{RECORD} is no record: {exc}") from exc
    if not all(isinstance(part, dict) for part in asdict(record).values()):
        raise ValueError(f"{RECORD} is no record")
    return record
