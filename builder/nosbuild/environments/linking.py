"""A model's folder and its environments go in; links go into the folder, and it can be served.

``config.pbtxt`` names the environment as ``$$TRITON_MODEL_DIRECTORY/environments/<key>``: there
lies a link to the environment in the cache, or the packed environment as a file. Triton takes both.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from pathlib import Path

from nosbuild.environments.model_environment import Environment
from nosbuild.errors import HostError


def is_packed(place: Path) -> bool:
    """Whether a packed environment lies where a link would."""
    return place.is_file() and not place.is_symlink()


def link_environment(folder: Path, environment: Environment) -> Path:
    """Make ``<folder>/<key>`` lead to the environment; what is packed there stays.

    Args:
        folder: the model's folder of environments, made if it is not there.
        environment: the environment.

    Returns:
        The link.

    Raises:
        HostError: the folder cannot be written.
    """
    place = folder / environment.key
    if not is_packed(place):
        link(place, environment.folder)
    return place


def link(place: Path, target: Path) -> None:
    """Make ``place`` a link to ``target``; at no moment is there none where there was one.

    Raises:
        HostError: the folder cannot be written, or a folder lies there.
    """
    if place.is_dir() and not place.is_symlink():
        raise HostError(
            f"{place} is a folder, where a link has to lead to {target}",
            "Remove it; nosbuild build --pack makes what may lie there in place of a link.",
        )
    if place.is_symlink() and place.readlink() == target:
        return
    new = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        new.symlink_to(target)
        try:
            new.replace(place)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(
            f"{place} cannot be made, which has to lead to {target}: {error.strerror}",
            "Let nosbuild write there once (nosbuild serve, where the repository is writable).",
        ) from error


def remove_other_links(folder: Path, keys: Collection[str]) -> None:
    """Remove the links in a model's folder of environments that no version needs any more.

    Args:
        folder: may be missing, and is left as it is where it cannot be written.
        keys: of the environments of all versions.
    """
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return
    for place in folder.iterdir():
        if place.is_symlink() and place.name not in keys and not place.name.startswith("."):
            place.unlink(missing_ok=True)
