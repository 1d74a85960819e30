"""A model's folder goes in; what is too old to go back to goes, and the rest stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from nosbuild.repository.layout import GOLDEN, WARMUP, ModelFolder
from nosbuild.repository.served import accepted_versions, built_versions
from nosbuild.store.hashing import sha256_of_files, sha256_of_value

KEPT_VERSIONS = 3
"""Version folders left in place: the published ones, and earlier ones to go back to."""

_OUR_WARMUP = re.compile(r"[0-9a-f]{12}-\d+")
"""Names of warm-up files that a build writes; others are the user's."""


def prune_versions(folder: ModelFolder, served: Collection[int], files: Collection[str]) -> None:
    """Remove versions too old to go back to, and warm-up files of none that is left.

    A running server goes back to a version that it did not refuse, and reads its warm-up files.

    Args:
        folder: of the model.
        served: versions that config.pbtxt names.
        files: names of warm-up files that it names.
    """
    built = built_versions(folder)
    kept = {*served, *built[-KEPT_VERSIONS:], *accepted_versions(folder)[-KEPT_VERSIONS:]}
    for version in set(built) - kept:
        shutil.rmtree(folder.version(version))
    prefixes = {warmup_prefix(folder.version(version) / GOLDEN) for version in kept}
    for path in (folder.path / WARMUP).iterdir():
        is_ours = _OUR_WARMUP.fullmatch(path.name)
        if is_ours and path.name not in files and path.name.partition("-")[0] not in prefixes:
            path.unlink()


def warmup_prefix(golden: Path) -> str:
    """Of the names of warm-up files, which are made from the golden samples there."""
    return sha256_of_value(sha256_of_files(golden.glob("*.npz"), golden))[:12]
