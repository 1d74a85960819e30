"""A version policy and the versions there are go in; the versions that Triton serves come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.repository.layout import LOCK, ModelFolder

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def built_versions(folder: ModelFolder) -> list[int]:
    """The versions that a build made, ascending; folders without a lock are the user's."""
    return [v for v in folder.versions() if (folder.version(v) / LOCK).is_file()]


def served_versions(spec: ModelSpec, versions: list[int]) -> list[int]:
    """What ``version_policy`` means for these versions, as config.pbtxt names them.

    Naming them one by one is what makes a publication one rename: a version folder that appears
    is not served before the config says so.

    Args:
        spec: the policy.
        versions: those there are (and the one to be published), ascending, at least one.

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
            f"names no version that there is (with this build: {', '.join(map(str, versions))})",
            f"write e.g. {{specific: [{versions[-1]}]}}, or latest",
        )
    return served
