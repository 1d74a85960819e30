"""Models of a repository go in; the environments that their locks name are made and linked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.activation import check_readable
from nosbuild.environments.linking import is_packed, link, link_environment, remove_other_links
from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.model_environment import (
    environment_folder,
    model_environment,
    read_lock_of,
)
from nosbuild.environments.packing import CONTAINER_PYTHON
from nosbuild.errors import NosError
from nosbuild.repository.layout import ENVIRONMENTS, LOCK, STUB, ModelFolder, model_folders
from nosbuild.repository.lock import read_lock
from nosbuild.repository.served import versions_in_config
from nosbuild.runtime.environment import ServerEnvironment
from nosbuild.runtime.server_files import ServerFiles, server_files

DETAIL = "environment"
"""Key of ``nos.lock``'s details: what ``LockedEnvironment.as_json`` writes."""


def link_environments(
    repository: Path,
    models: Sequence[str],
    server: ServerEnvironment,
    on_progress: Callable[[str], None],
) -> dict[str, NosError]:
    """Make what the served versions of the models run in, and let their folders lead there.

    What is in use by a server of this process is not removed until the process ends.

    Returns:
        Model -> why its environment cannot be had.
    """
    failures: dict[str, NosError] = {}
    for name in models:
        try:
            _link(ModelFolder(repository / name), server, on_progress)
        except NosError as error:
            failures[name] = error
    return failures


def require_environment(
    repository: Path,
    model: str,
    server: ServerEnvironment,
    on_progress: Callable[[str], None],
) -> None:
    """The same for one model, before a running server loads it.

    Raises:
        NosError: its environment cannot be had.
    """
    for error in link_environments(repository, [model], server, on_progress).values():
        raise error


@dataclass(frozen=True)
class KeptEnvironment:
    """One environment in the cache."""

    files: ServerFiles
    locked: LockedEnvironment | None
    """None where the folder does not say what it was made from."""
    models: tuple[str, ...]
    """Those of the repository that have a version in it, by name."""


def kept_environments(repository: Path) -> list[KeptEnvironment]:
    """Every environment of models on this machine, the last used first.

    Args:
        repository: whose models are looked at; need not exist.
    """
    users: dict[str, list[str]] = {}
    for folder in model_folders(repository):
        for key in _environments(folder, folder.versions(), strictly=False):
            users.setdefault(key, []).append(folder.name)
    found = [
        KeptEnvironment(files, read_lock_of(files.path), tuple(users.get(files.path.name, ())))
        for files in server_files()
        if files.kind == "model environment"
    ]
    return sorted(found, key=lambda kept: kept.files.last_used, reverse=True)


def _link(
    folder: ModelFolder, server: ServerEnvironment, on_progress: Callable[[str], None]
) -> None:
    from nosbuild.repository.config import read_config  # protobuf is slow to import

    if not folder.is_built:
        return  # Triton says so
    served = versions_in_config(read_config(folder.config), folder.versions())
    wanted = _environments(folder, served)
    if wanted:
        check_readable(folder.path, "Move the repository, or rename that folder.")
    others = [locked for locked in wanted.values() if locked.minor != server.interpreter.minor]
    for key, locked in wanted.items():
        if not (is_packed(folder.path / ENVIRONMENTS / key) and _works_packed(locked, server)):
            environment = model_environment(locked, on_progress, where=f"model {folder.name!r}")
            link_environment(folder.path / ENVIRONMENTS, environment)
    for locked in others:
        link(folder.path / STUB, server.stub(locked.minor))
    stub = folder.path / STUB
    if not others and stub.is_symlink() and os.access(folder.path, os.W_OK):
        stub.unlink(missing_ok=True)
    every = _environments(folder, folder.versions(), strictly=False)
    remove_other_links(folder.path / ENVIRONMENTS, every)


def _environments(
    folder: ModelFolder, versions: Sequence[int], *, strictly: bool = True
) -> dict[str, LockedEnvironment]:
    """Key -> environment of the versions.

    Raises:
        InputError: a lock that cannot be read, where told to mind that.
    """
    found = {}
    for version in versions:
        file = folder.version(version) / LOCK
        try:
            if file.is_file() and (value := read_lock(file).details.get(DETAIL)):
                locked = LockedEnvironment.from_json(value, str(file))
                found[locked.key] = locked
        except NosError:
            if strictly:
                raise
    return found


def _works_packed(locked: LockedEnvironment, server: ServerEnvironment) -> bool:
    """Whether a packed environment needs no other beside it: none is in the cache, and the server
    runs on the very Python that it is packed for.
    """
    own = server.interpreter
    return (
        not environment_folder(locked).is_dir()
        and own.executable.resolve() == CONTAINER_PYTHON.resolve()
        and own.minor == locked.minor
    )
