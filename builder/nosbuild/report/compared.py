"""What a user names goes in; the two version folders to compare come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.served import built_versions


def version_folders(model: str, others: Sequence[str], repository: Path) -> tuple[Path, Path]:
    """The older and the newer folder.

    Args:
        model: a model's folder, its name in ``repository``, or a version's folder.
        others: numbers of versions of that model: none for the last two, one for that and the
            newest, or both. After a version's folder: the other version's folder, or its number.
        repository: where a bare name is looked for.

    Raises:
        RepositoryError: there is no such model or version, or nothing to compare it with.
    """
    named = Path(model)
    if (named / LOCK).is_file():
        if len(others) != 1:
            raise RepositoryError(
                f"{model} is one version", f"Name another: nosbuild diff {model} <version>"
            )
        return named, _other(named.absolute(), others[0])
    folder = ModelFolder((named if named.is_dir() else repository / model).absolute())
    versions = built_versions(folder)
    if not versions:
        what = "holds no version that a build made" if folder.path.is_dir() else "does not exist"
        raise RepositoryError(f"{folder.path} {what}", "Name a model that is built: nosbuild ls.")
    if not others and len(versions) < 2:
        raise RepositoryError(
            f"{folder.path} has one version, {versions[0]}: there is nothing to compare it with",
            "A build keeps earlier versions beside a new one.",
        )
    asked = list(others) or [str(versions[-2])]
    if len(asked) < 2:
        asked.append(str(versions[-1]))
    if len(asked) > 2:
        raise RepositoryError("two versions can be compared at a time", "Name two of them.")
    older, newer = (_numbered(folder, number, versions) for number in asked)
    return older, newer


def _other(first: Path, named: str) -> Path:
    if (Path(named) / LOCK).is_file():
        return Path(named)
    beside = ModelFolder(first.parent)
    return _numbered(beside, named, built_versions(beside))


def _numbered(folder: ModelFolder, number: str, versions: list[int]) -> Path:
    if not number.isdecimal() or int(number) not in versions:
        raise RepositoryError(
            f"{folder.path} has no version {number}",
            f"Built versions are: {', '.join(map(str, versions))}.",
        )
    return folder.version(int(number))
