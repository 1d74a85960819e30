"""What an environment consists of, exactly: the part of ``nos.lock`` that it is made again from."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nosbuild.errors import InputError
from nosbuild.store.hashing import sha256_of_value

_LAYOUT = 1
"""Part of the key: raise it when another environment is made from the same lock."""

_MINOR = re.compile(r"3\.\d+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9!.+_-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def this_platform() -> str:
    """``linux-x86_64``: packages are chosen for it."""
    return f"{platform.system()}-{platform.machine()}".lower()


def normalised(name: str) -> str:
    """A package's name as PEP 503 writes it: ``Ruamel_YAML`` is ``ruamel-yaml``."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class LockedPackage:
    """One package of an environment."""

    name: str
    """As ``normalised`` writes it."""
    version: str
    sha256s: tuple[str, ...]
    """Of the files that may be installed; pip refuses any other."""
    url: str = ""
    """Where the requirement itself names a file; otherwise pip's index is asked."""

    @property
    def requirement(self) -> str:
        """A line for pip, with its hashes."""
        what = f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"
        return " ".join([what, *(f"--hash=sha256:{digest}" for digest in self.sha256s)])


@dataclass(frozen=True)
class LockedEnvironment:
    """Exact versions and hashes of everything in an environment."""

    python: str
    """Minor version, such as ``3.11``."""
    platform: str
    system_site: bool
    """Packages of the interpreter itself are seen too; these are not locked."""
    packages: tuple[LockedPackage, ...]
    """By name."""
    requirements: tuple[str, ...] = ()
    """What was asked for; two requests with the same packages share an environment."""

    @property
    def key(self) -> str:
        """Digest of what is installed: 16 hex digits."""
        packages = [[each.name, each.version, list(each.sha256s)] for each in self.packages]
        parts = [_LAYOUT, self.python, self.platform, self.system_site, packages]
        return sha256_of_value(parts)[:16]

    @property
    def minor(self) -> tuple[int, int]:
        """``(3, 11)``."""
        major, minor = self.python.split(".")
        return int(major), int(minor)

    def version(self, name: str) -> str:
        """Of the package with that name; empty where it has none such."""
        return next((each.version for each in self.packages if each.name == normalised(name)), "")

    def as_json(self) -> dict[str, Any]:
        """For ``nos.lock``."""
        packages = [{**asdict(each), "sha256s": list(each.sha256s)} for each in self.packages]
        return {
            **asdict(self),
            "packages": packages,
            "requirements": list(self.requirements),
            "key": self.key,
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> LockedEnvironment:
        """Read it back.

        Args:
            value: what ``as_json`` wrote.
            where: the file it stands in, for the error.

        Raises:
            InputError: it is not what ``as_json`` writes, or was changed since.
        """
        try:
            locked = cls(
                _matching(_MINOR, value["python"]),
                str(value["platform"]),
                bool(value["system_site"]),
                tuple(_package(each) for each in value["packages"]),
                tuple(str(each) for each in value.get("requirements", ())),
            )
            if value["key"] != locked.key:
                raise ValueError(f"its key is {value['key']}, its content {locked.key}")
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"{where}: the locked environment cannot be read: {reason}",
                "Build the model again.",
            ) from error
        return locked


def _package(value: Mapping[str, Any]) -> LockedPackage:
    digests = tuple(_matching(_SHA256, digest) for digest in value["sha256s"])
    if not digests:
        raise ValueError(f"{value['name']} has no sha256")
    # The lines become a requirements file: no word of a lock may be an option of pip.
    url = str(value.get("url", ""))
    if any(character.isspace() for character in url):
        raise ValueError(f"{url!r} is no URL")
    return LockedPackage(
        _matching(_NAME, value["name"]), _matching(_VERSION, value["version"]), digests, url
    )


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not (isinstance(value, str) and pattern.fullmatch(value)):
        raise ValueError(f"{value!r} cannot be")
    return value
