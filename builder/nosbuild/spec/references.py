"""``file.py:callable``, ``module:callable`` and ``package:path`` as a spec writes them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nosbuild.spec.problems import Finding, did_you_mean
from nosbuild.spec.yaml_source import KeyPath

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

CALLABLE_PATTERN = r"^[^:]+:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
"""A callable's reference as a JSON Schema pattern."""


@dataclass(frozen=True)
class CallableReference:
    """Where a callable of the user is found: in a file of the model's folder or in a module."""

    file: str | None
    """Path of a ``.py`` file, relative to the model's folder; None for a module."""
    module: str | None
    """Dotted name of an importable module; None for a file."""
    name: str
    """The callable's name inside, possibly dotted (``Model.create``)."""

    @classmethod
    def parse(cls, reference: str) -> CallableReference:
        """Read ``file.py:callable`` or ``module.path:callable``.

        Raises:
            ValueError: not of that form.
        """
        place, colon, name = reference.rpartition(":")
        if not colon or not place or not _DOTTED_NAME.fullmatch(name):
            raise ValueError(f"{reference!r} names no callable")
        if place.endswith(".py"):
            return cls(place, None, name)
        if not _DOTTED_NAME.fullmatch(place):
            raise ValueError(f"{place!r} is neither a .py file nor a module")
        return cls(None, place, name)


@dataclass(frozen=True)
class PackagePath:
    """A file or folder inside an installed Python package."""

    package: str
    path: str

    @classmethod
    def parse(cls, reference: str) -> PackagePath | None:
        """Read ``package:path/inside``; None for anything without a colon.

        Raises:
            ValueError: a colon, but no package before it or no path inside the package after it.
        """
        package, colon, path = reference.partition(":")
        if not colon:
            return None
        if not _DOTTED_NAME.fullmatch(package):
            raise ValueError(f"{package!r} in {reference!r} is no package")
        if not path or leaves_folder(path):
            raise ValueError(f"{path!r} in {reference!r} is no path inside the package")
        return cls(package, path)


def names_python_file(reference: str) -> bool:
    """True for ``file.py:name``, which names a callable wherever a path may stand too."""
    return reference.rpartition(":")[0].endswith(".py")


def leaves_folder(path: str) -> bool:
    """True for an absolute path, and for one that climbs out with ``..``.

    Judged by its text alone: a link inside the folder may lead anywhere.
    """
    normal = PurePosixPath(os.path.normpath(path))
    return normal.is_absolute() or normal.parts[:1] == ("..",)


def check_callable(
    key: KeyPath, reference: str, folder: Path, example: str, what: str = "callable"
) -> list[Finding]:
    """What is wrong with a callable's reference; a file must be in the model's folder.

    Args:
        key: where the reference stands.
        reference: as written.
        folder: the model's folder.
        example: a good reference, for the remedy.
        what: what the reference is to name, in one word.
    """
    try:
        parsed = CallableReference.parse(reference)
    except ValueError as error:
        place = reference.removesuffix(":")
        hint = f"{place}:{example.rpartition(':')[2]}" if place.endswith(".py") else example
        found = str(error).replace("no callable", f"no {what.lower()}")
        return [Finding(key, found, f'write "file.py:{what}", e.g. "{hint}"')]
    return check_file(key, parsed.file, folder) if parsed.file else []


def check_file(key: KeyPath, path: str, folder: Path) -> list[Finding]:
    """What is wrong with a file's path, which must lead to a file in the model's folder."""
    if leaves_folder(path):
        remedy = f"copy or link the file into {folder.name}/ and write its path from there"
        return [Finding(key, f"{path!r} points out of the model's folder", remedy)]
    if (folder / path).is_file():
        return []
    suffix = PurePosixPath(path).suffix
    beside = sorted(file.name for file in folder.glob(f"*{suffix}") if file.is_file())
    remedy = did_you_mean(
        path, beside, f"create it, or correct the path (it starts at {folder.name}/)"
    )
    return [Finding(key, f"there is no file {path!r} in the model's folder", remedy)]
