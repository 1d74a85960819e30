"""Files and texts go in; the stream of a tar file comes out, as an engine takes what it builds."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_WHEN = 315532800
"""1980-01-01: the same files are the same stream, so that the engine finds its layer again."""
_BLOCK = 1 << 20


def tar_stream(texts: Mapping[str, str], files: Mapping[str, Path]) -> Iterator[bytes]:
    """The tar file, a piece at a time: weights are neither copied nor held in memory.

    Args:
        texts: name in the tar file -> content.
        files: name in the tar file -> file of this machine; links are followed.

    Raises:
        OSError: a file that cannot be read, or shrinks meanwhile.
    """
    for name, text in texts.items():
        content = text.encode()
        yield _head(name, len(content))
        yield from _padded(iter([content]), len(content))
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield _head(name, size, is_executable=os.access(path, os.X_OK))
            yield from _padded(_blocks(file, size, path), size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _head(name: str, size: int, is_executable: bool = False) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size, _WHEN
    entry.mode = 0o755 if is_executable else 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _blocks(file: io.BufferedReader, size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        block = file.read(min(_BLOCK, left))
        if not block:
            raise OSError(f"{path} became shorter while it was read")
        left -= len(block)
        yield block


def _padded(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    yield from blocks
    yield bytes(-size % tarfile.BLOCKSIZE)
