"""Where nosbuild keeps what it makes for itself: one cache folder per user."""

from __future__ import annotations

import os
from pathlib import Path

from nosbuild.errors import HostError

CACHE_VARIABLE = "NOSBUILD_CACHE"
"""Environment variable that moves the cache folder."""


def cache_folder() -> Path:
    """The cache folder: ``$NOSBUILD_CACHE``, or the user's cache folder for nosbuild.

    Raises:
        HostError: the user has no home.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    try:
        return platformdirs.user_cache_path("nosbuild")
    except RuntimeError as error:
        raise HostError(
            f"there is no folder for what nosbuild keeps: {error}",
            f"Name one that you may write to in {CACHE_VARIABLE}.",
        ) from error


def steps_folder() -> Path:
    """Where the entries of the build cache lie."""
    return cache_folder() / "steps"


def locks_folder() -> Path:
    """Where processes lock what they make at the same time."""
    return cache_folder() / "locks"
