"""A class with an environment of its own, as a build leaves it, but for what it is made from."""

from __future__ import annotations

from pathlib import Path

from nosbuild.environments.locked import LockedEnvironment
from nosbuild.repository.lock import Lock, write_lock
from nosbuild.store.hashing import sha256_of_file


def write_speaks(folder: Path, python: str = "3.12") -> Path:
    """Version 1, locked for that Python."""
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.py").write_text("")
    (folder / "config.pbtxt").write_text('backend: "python"')
    locked = LockedEnvironment(python, "linux-x86_64", False, ())
    lock = Lock(
        model=folder.name,
        version=1,
        variant="python",
        backend="python",
        details={"environment": locked.as_json()},
        identity="",
        spec_digest="",
        artifact={"model.py": sha256_of_file(folder / "1/model.py")},
        interface="",
        config_sha256="",
        steps={},
        read={},
        libraries={},
        host={},
        proof={},
        nosbuild="",
    )
    write_lock(lock, folder / "1/nos.lock")
    return folder
