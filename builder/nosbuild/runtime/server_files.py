"""The cache folder goes in; what servers, environments and logs take up in it comes out, and goes
where asked.

The entries of builds are the store's (``store.contents``, ``store.trim``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.environments.made_once import USED, remove_half_made, remove_made
from nosbuild.errors import HostError
from nosbuild.runtime.environment import backends_folder, server_folder
from nosbuild.runtime.service_record import running_services
from nosbuild.store.contents import size_of
from nosbuild.store.folders import cache_folder
from nosbuild.store.host_errors import cache_errors
from nosbuild.store.in_use import unused
from nosbuild.store.scratch import remove_abandoned

KEPT_SECONDS = 30 * 86400.0
"""How long what nobody uses is kept, unless asked otherwise."""

Kind = Literal[
    "server environment", "server backends", "model environment", "resolution", "log", "note"
]
ENVIRONMENT_KINDS: tuple[Kind, ...] = ("model environment", "resolution")
"""What belongs to the environments of models."""
State = Literal["current", "in use", "unused"]


@dataclass(frozen=True)
class ServerFiles:
    """A folder or file that nosbuild keeps beside the entries of builds."""

    kind: Kind
    """``resolution``: the packages that pip chose for the requirements of a model. ``note``: what
    a step was last made from, which ``build --explain`` reads."""
    path: Path
    bytes: int
    last_used: float
    """Seconds since the epoch."""
    state: State
    """``current``: what the next server of this nosbuild would use. ``in use``: by a process that
    runs now."""


def server_files() -> list[ServerFiles]:
    """All of them, by kind."""
    root = cache_folder()
    return [
        *_environments(root),
        *_files("resolution", root / "resolved", set()),
        *_files("log", root / "logs", {service.log_file for service in running_services()}),
        *_files("note", root / "last", set()),
    ]


def prune_server_files(
    *,
    older_than: float | None = None,
    everything: bool = False,
    dry_run: bool = False,
    kinds: Collection[Kind] | None = None,
) -> list[ServerFiles]:
    """Remove what nobody has used for long; what is in use stays in any case.

    Args:
        older_than: seconds since the last use.
        everything: whatever its age, and the current environment too: the next server installs
            it anew.
        dry_run: remove nothing, only tell.
        kinds: only these.

    Returns:
        What was removed.

    Raises:
        HostError: the cache folder cannot be written.
    """
    newest = time.time() - (KEPT_SECONDS if older_than is None else older_than)
    goes = [
        files
        for files in server_files()
        if files.state != "in use"
        and (kinds is None or files.kind in kinds)
        and (everything or (files.state == "unused" and files.last_used < newest))
    ]
    if dry_run:
        return goes
    with cache_errors():
        for name in ("server", "backends", "environments", "resolved"):
            remove_abandoned(cache_folder() / name)
            remove_half_made(cache_folder() / name)
        return [files for files in goes if _REMOVE[files.kind](files.path)]


def _environments(root: Path) -> Iterator[ServerFiles]:
    current = _current()
    arguments = _arguments_of_processes()
    kinds: dict[str, Kind] = {
        "server": "server environment",
        "backends": "server backends",
        "environments": "model environment",
    }
    for name, kind in kinds.items():
        for folder in sorted((root / name).glob("[!.]*")):
            if folder.is_dir() and ".making-" not in folder.name:
                yield ServerFiles(
                    kind,
                    folder,
                    size_of(folder),
                    _last_used(folder),
                    "in use"
                    if _is_used(folder, arguments)
                    else "current"
                    if folder in current
                    else "unused",
                )


def _current() -> set[Path]:
    try:
        server = server_folder(find_interpreter())
    except HostError:
        return set()  # nothing here can serve
    return {server, backends_folder(server)}


def _is_used(folder: Path, arguments: list[str]) -> bool:
    # A process of an older nosbuild holds no lock, but names the folder.
    if any(str(folder) in argument for argument in arguments):
        return True
    with unused(folder / USED) as free:
        return (folder / USED).exists() and not free


def _arguments_of_processes() -> list[str]:
    import psutil

    found: list[str] = []
    for process in psutil.process_iter(["cmdline"]):
        found += process.info["cmdline"] or []
    return found


def _last_used(folder: Path) -> float:
    used = folder / USED
    return (used if used.exists() else folder).stat().st_mtime


def _files(kind: Kind, folder: Path, in_use: set[str]) -> Iterator[ServerFiles]:
    for path in sorted(folder.glob("[!.]*")):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue  # its server ended meanwhile
        state: State = "in use" if str(path) in in_use else "unused"
        yield ServerFiles(kind, path, facts.st_size, facts.st_mtime, state)


def _remove_file(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True


_REMOVE: dict[Kind, Callable[[Path], bool]] = {
    "server environment": remove_made,
    "server backends": remove_made,
    "model environment": remove_made,
    "resolution": _remove_file,
    "log": _remove_file,
    "note": _remove_file,
}
