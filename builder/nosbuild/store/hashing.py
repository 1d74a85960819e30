"""Files and values go in; sha256 hex digests come out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def sha256_of_file(path: Path) -> str:
    """Digest of a file's bytes; OSError where it cannot be read."""
    with path.open("rb") as file:
        return file_digest(file)


def file_digest(file: Any) -> str:
    """Digest of an open binary file (hashlib.file_digest came with Python 3.11)."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def sha256_of_value(value: Any) -> str:
    """Digest of anything JSON can write, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_files(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Relative path -> digest, for every file."""
    return {str(path.relative_to(root)): sha256_of_file(path) for path in sorted(paths)}
