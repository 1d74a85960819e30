"""A version policy and the versions there are go in; the versions that Triton serves come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.repository.refused import refusal_of

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def built_versions(folder: ModelFolder) -> list[int]:
    """The versions that a build made, ascending; folders without a lock are the user's."""
    return [v for v in folder.versions() if (folder.version(v) / LOCK).is_file()]


def accepted_versions(folder: ModelFolder) -> list[int]:
    """Of these, those that no running server refused."""
    return [v for v in built_versions(folder) if not refusal_of(folder, v)]


def newest_lock(folder: ModelFolder) -> Lock | None:
    """Of the newest version that a build made; None where nothing usable is there."""
    versions = built_versions(folder)
    try:
        return read_lock(folder.version(versions[-1]) / LOCK) if versions else None
    except RepositoryError:
        return None  # broken, or of another nosbuild: a build publishes anew


def identity_of(folder: ModelFolder, version: int) -> str:
    """What a built version was made of, in short; empty where its lock cannot be read."""
    try:
        return read_lock(folder.version(version) / LOCK).identity
    except RepositoryError:
        return ""  # broken, or of another nosbuild


def alike_versions(folder: ModelFolder, interface: str) -> list[int]:
    """The built versions with these tensors and this largest batch, ascending.

    One config.pbtxt describes every version that it serves, so others cannot be served beside; nor
    are those that a server refused.
    """
    alike = []
    for version in accepted_versions(folder):
        try:
            if read_lock(folder.version(version) / LOCK).interface == interface:
                alike.append(version)
        except RepositoryError:
            continue  # broken, or of another nosbuild: nothing says that it fits
    return alike


def served_versions(spec: ModelSpec, versions: list[int]) -> list[int]:
    """What ``version_policy`` means for these versions, as config.pbtxt names them.

    Naming them one by one is what makes a publication one rename: a version folder that appears
    is not served before the config says so.

    Args:
        spec: the policy.
        versions: those that can be served together (the one to be published among them),
            ascending, at least one.

    Raises:
        SpecError: ``specific`` names none of them.
    """
    policy = spec.version_policy
    if policy.kind == "all":
        return versions
    if policy.kind == "latest":
        return versions[-policy.latest :]
    served = [version for version in versions if version in policy.versions]
    if not served:
        raise spec.error(
            ("version_policy", "specific"),
            "names no version that there is with these inputs, outputs and largest batch "
            f"(with this build: {', '.join(map(str, versions))})",
            f"write e.g. {{specific: [{versions[-1]}]}}, or latest",
        )
    return served


def versions_in_config(config: Any, versions: list[int]) -> list[int]:
    """The versions that Triton serves by a config.pbtxt, ascending.

    Args:
        config: the ModelConfig; ours names each version, one written by hand may say otherwise.
        versions: the version folders, ascending.

    Returns:
        those that are named, whether their folders are there or not.
    """
    policy = config.version_policy
    if policy.HasField("specific"):
        return sorted(policy.specific.versions)
    if policy.HasField("all"):
        return versions
    return versions[-(policy.latest.num_versions or 1) :]
