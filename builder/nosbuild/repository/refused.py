"""A version that a running server refused goes in; it is marked so, and config.pbtxt goes back.

The mark is ``refused.json`` in the version's folder. While it is there no build names the version
in config.pbtxt, and a config.pbtxt that does is an error.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import REFUSED, STAGING_PREFIX, ModelFolder
from nosbuild.store.host_errors import host_errors
from nosbuild.version import VERSION


def refusal_of(folder: ModelFolder, version: int) -> str:
    """Why a running server refused the version; empty where none did."""
    file = folder.version(version) / REFUSED
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["reason"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return f"{file} does not say why"


def mark_refused(folder: ModelFolder, version: int, reason: str) -> None:
    """Write the mark.

    Raises:
        HostError: the folder cannot be written.
    """
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    told = {"reason": reason, "when": when, "nosbuild": VERSION}
    file = folder.version(version) / REFUSED
    with host_errors(
        f"{file} cannot be written, so that the next build may publish version {version} again",
        "Change the rights of the repository.",
    ):
        new = file.with_name(f".{REFUSED}")
        new.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        new.replace(file)


def restore_config(folder: ModelFolder, earlier: bytes, changed_ns: int) -> None:
    """Put an earlier config.pbtxt back, by one rename; the caller holds the publishing lock.

    Args:
        folder: of the model.
        earlier: what it was before.
        changed_ns: when that one was changed; it bears that time again, so that Triton sees
            nothing new in it.

    Raises:
        HostError: the folder cannot be written.
    """
    with (
        host_errors(
            f"{folder.config} cannot be put back and still names what was refused",
            "Change the rights of the repository, then build the model again.",
        ),
        tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=folder.path) as staging,
    ):
        new = Path(staging, "config")
        new.write_bytes(earlier)
        os.utime(new, ns=(changed_ns, changed_ns))
        new.replace(folder.config)


def read_bytes(config: Path) -> bytes:
    """A config.pbtxt as it is.

    Raises:
        RepositoryError: it cannot be read.
    """
    try:
        return config.read_bytes()
    except OSError as exc:
        raise RepositoryError(f"{config} cannot be read: {exc}", "Build the model again.") from exc
