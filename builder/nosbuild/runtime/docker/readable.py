"""Models and the user of a container go in; what that user cannot read comes out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from nosbuild.errors import HostError, RepositoryError

_SHOWN = 3
_ACCESS_LIST = "system.posix_acl_access"


def check_readable(repository: Path, models: Sequence[str], uid: int, rootless: bool) -> None:
    """Refuse a repository that the container would see, but could not read or follow.

    Args:
        repository: that is mounted.
        models: of it.
        uid: of the container's processes.
        rootless: their uid outside is another one, which owns nothing.

    Raises:
        HostError: files or folders that this user may not read.
        RepositoryError: links that lead out of the repository.
    """
    if uid == 0 and not rootless:
        forbidden: list[Path] = []
    else:
        owner = -1 if rootless else uid
        forbidden = [path for path in _paths(repository, models) if not _may_read(path, owner)]
    if forbidden:
        shown = ", ".join(str(path) for path in forbidden[:_SHOWN])
        more = f" and {len(forbidden) - _SHOWN} more" if len(forbidden) > _SHOWN else ""
        who = f"user {uid}" + (" of a rootless engine, which is another one here" * rootless)
        raise HostError(
            f"the container runs as {who} and cannot read {shown}{more}",
            f"chmod -R a+rX {repository}",
        )
    for path in _paths(repository, models):
        if path.is_symlink() and not path.resolve().is_relative_to(repository):
            raise RepositoryError(
                f"{path} leads to {path.resolve()}, which a container on {repository} does not see",
                "Put the file itself there: cp -L.",
            )


def _paths(repository: Path, models: Sequence[str]) -> Iterator[Path]:
    """What serving reads; environments are made in the container."""
    yield repository
    for name in models:
        folder = repository / name
        yield folder
        if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
            for entry in sorted(folder.iterdir()):
                if entry.name == "config.pbtxt" or entry.name == "warmup" or entry.name.isdigit():
                    yield from _below(entry)


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink() and os.access(path, os.R_OK | os.X_OK):
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith(".") and entry.name != "__pycache__":
                yield from _below(entry)


def _may_read(path: Path, owner: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    if _ACCESS_LIST in os.listxattr(path):
        return True  # its mode does not tell; the container does
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else 0)
    if found.st_uid == owner:
        wanted <<= 6
    elif found.st_gid == owner:  # our images' user has a group of the same number
        wanted <<= 3
    return found.st_mode & wanted == wanted
