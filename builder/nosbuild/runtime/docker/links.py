"""Folders of this machine in which a container puts its links to models' environments.

The repository is mounted read-only, and the links in it lead to this machine's cache: over each
model's folder of environments lies an empty one that any user may write. (A tmpfs would do, but
runc gives it the mode of what it hides.)
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from nosbuild.environments.linking import is_packed
from nosbuild.errors import HostError, NosError
from nosbuild.repository.layout import ENVIRONMENTS, LOCK, ModelFolder, model_folders
from nosbuild.repository.lock import read_lock
from nosbuild.runtime.model_environments import DETAIL
from nosbuild.store.folders import cache_folder
from nosbuild.store.host_errors import cache_errors

LINKS = "nosbuild.links"
"""Label of a container: the folder here that holds its folders of links."""
_STARTS_WITHIN_SECONDS = 3600.0


def make_links(repository: Path, engine_url: str) -> tuple[Path | None, dict[str, Path]]:
    """Folders for the models of a repository whose classes have environments of their own.

    Packed environments are what the container takes, so that theirs are not hidden.

    Returns:
        The folder that holds them, None where no model has an environment; model -> folder.

    Raises:
        HostError: the cache cannot be written, or a model has no folder to lay one over.
    """
    names = [folder.name for folder in model_folders(repository) if _needs_links(folder)]
    if not names:
        return None, {}
    with cache_errors():
        root = _root(engine_url)
        root.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix="links-", dir=root))
        folders = {name: holder / name for name in names}
        for folder in folders.values():
            folder.mkdir()
            folder.chmod(0o1777)
    return holder, folders


def remove_links(holder: str) -> None:
    """Remove the folders of a container that is gone; it holds links alone."""
    if holder:
        shutil.rmtree(holder, ignore_errors=True)


def remove_abandoned_links(engine_url: str, used: Collection[str]) -> None:
    """Remove the folders of containers that somebody else removed.

    Args:
        engine_url: of the engine.
        used: the folders of its containers.
    """
    root = _root(engine_url)
    for holder in root.iterdir() if root.is_dir() else ():
        if str(holder) in used:
            continue
        try:
            age = time.time() - holder.stat().st_mtime
        except FileNotFoundError:
            continue  # another process was quicker
        if age > _STARTS_WITHIN_SECONDS:
            remove_links(str(holder))


def _root(engine_url: str) -> Path:
    key = hashlib.sha256(engine_url.encode()).hexdigest()[:8]
    return cache_folder() / "containers" / key


def _needs_links(folder: ModelFolder) -> bool:
    """It has an environment that is not packed; its folder for them is made, to lay one over.

    Raises:
        HostError: that cannot be made.
    """
    place = folder.path / ENVIRONMENTS
    packed = place.is_dir() and any(is_packed(entry) for entry in place.iterdir())
    if packed or not _has_environment(folder):
        return False
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{place} cannot be made, where the container has to have its environments: "
            f"{error.strerror}",
            f"Make it once: mkdir {place}; or pack them: nosbuild build --pack {folder.path}",
        ) from error
    return True


def _has_environment(folder: ModelFolder) -> bool:
    for version in folder.versions():
        try:
            if read_lock(folder.version(version) / LOCK).details.get(DETAIL):
                return True
        except NosError:
            continue  # made by hand, or broken: that is told elsewhere
    return False
