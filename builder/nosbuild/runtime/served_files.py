"""A server's own folder: what it serves of each model, and room for versions on trial.

    <cache folder>/serving/<server>/
        models/                a second model repository of the server, for candidates
        served/<model>.json    the config.pbtxt that the server took up, and of which versions
        lock                   held by whoever changes what is served

It goes with the server.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.refused import read_bytes
from nosbuild.repository.served import versions_in_config
from nosbuild.store.folders import cache_folder
from nosbuild.store.hashing import sha256_of_file
from nosbuild.store.host_errors import cache_errors
from nosbuild.store.locks import shared_lock

_STARTS_WITHIN_SECONDS = 3600.0
_ELSEWHERE_SECONDS = 30 * 86400.0
"""Of another machine, or before the last start of this one: whether it runs cannot be seen."""
_OWNER = "pid"


@dataclass(frozen=True)
class Snapshot:
    """What a config.pbtxt says is to be served, at one moment."""

    config: bytes
    """The file."""
    changed_ns: int
    """When it was changed."""
    versions: dict[int, str]
    """Version that it names -> digest of its nos.lock; empty for one made by hand."""

    def parsed(self) -> Any:
        """The ModelConfig."""
        return text_format.Parse(self.config.decode(), model_config_pb2.ModelConfig())

    def has(self, folder: ModelFolder, version: int) -> bool:
        """Whether one of its versions is there yet, as it was.

        Raises:
            RepositoryError: its nos.lock cannot be read.
        """
        digest, lock = self.versions[version], folder.version(version) / LOCK
        if not digest:
            return folder.version(version).is_dir()
        try:
            return lock.is_file() and sha256_of_file(lock) == digest
        except OSError as exc:
            raise RepositoryError(f"{lock}: {exc}", "Build the model again.") from exc

    def new_versions(self, earlier: Snapshot) -> list[int]:
        """Versions that a build made and that an earlier one did not have, ascending."""
        return [
            version
            for version, digest in sorted(self.versions.items())
            if digest and earlier.versions.get(version) != digest
        ]


def snapshot_of(folder: ModelFolder) -> Snapshot:
    """What is published now.

    Raises:
        RepositoryError: no config.pbtxt, or a broken one, or a nos.lock that cannot be read.
    """
    while True:
        changed = _changed_ns(folder.config)
        content = read_bytes(folder.config)
        if changed == _changed_ns(folder.config):
            break
    try:
        config = Snapshot(content, changed, {}).parsed()
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        raise RepositoryError(f"{folder.config}: {exc}", "Build the model again.") from exc
    digests = {}
    try:
        for version in versions_in_config(config, folder.versions()):
            lock = folder.version(version) / LOCK
            digests[version] = sha256_of_file(lock) if lock.is_file() else ""
    except OSError as exc:
        raise RepositoryError(f"{folder.path}: {exc}", "Build the model again.") from exc
    return Snapshot(content, changed, digests)


@dataclass(frozen=True)
class ServedFiles:
    """The folder of one server."""

    folder: Path

    @property
    def models(self) -> Path:
        """Its second model repository."""
        return self.folder / "models"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among those who change what is served; waits for whoever does."""
        with ExitStack() as held:
            with cache_errors():
                held.enter_context(shared_lock(self.folder / "lock"))
            yield

    def remember(self, repository: Path, names: Iterable[str]) -> None:
        """Note what is published of these models as what is served."""
        for name in names:
            with suppress(RepositoryError):  # whoever loads it says so
                self.note(name, snapshot_of(ModelFolder(repository / name)))

    def note(self, model: str, served: Snapshot) -> None:
        """Note what is served of a model from now on."""
        told = {
            "config": base64.b64encode(served.config).decode(),
            "changed_ns": served.changed_ns,
            "versions": served.versions,
        }
        file = self._file(model)
        new = file.with_suffix(f".{secrets.token_hex(4)}.new")
        with cache_errors():
            new.write_text(json.dumps(told))
            new.replace(file)

    def served(self, model: str) -> Snapshot | None:
        """What is served of a model; None of one that this server never loaded."""
        try:
            told = json.loads(self._file(model).read_text())
        except FileNotFoundError:
            return None
        versions = {int(version): digest for version, digest in told["versions"].items()}
        return Snapshot(base64.b64decode(told["config"]), told["changed_ns"], versions)

    def names(self) -> list[str]:
        """Models of which it is noted what is served, sorted."""
        return sorted(file.stem for file in (self.folder / "served").glob("*.json"))

    def belongs_to(self, pid: int) -> None:
        """Note the server's process, by which an abandoned folder is known."""
        with cache_errors():
            (self.folder / _OWNER).write_text(f"{pid} {_place()}")

    def _file(self, model: str) -> Path:
        return self.folder / "served" / f"{model}.json"


def make_served_files(name: str) -> ServedFiles:
    """A new folder of that name, for a server that is about to start; it is removed with it.

    Raises:
        HostError: the cache folder cannot be written.
    """
    root = cache_folder() / "serving"
    files = ServedFiles(root / name)
    with cache_errors():
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root)
        files.models.mkdir(parents=True)
        (files.folder / "served").mkdir()
    return files


def served_files_of(pid: int) -> ServedFiles | None:
    """Those of a server that runs; None of one that an older nosbuild started.

    Args:
        pid: Triton's.
    """
    for folder in (cache_folder() / "serving").glob("*"):
        with suppress(OSError):  # it ended just now
            if _owner(folder) == (pid, _place()) and _is_owned(folder):
                return ServedFiles(folder)
    return None


def _remove_abandoned(root: Path) -> None:
    """What servers have left whose supervisor was killed, too."""
    for folder in root.iterdir():
        with suppress(FileNotFoundError):  # its own supervisor removes it now
            age = time.time() - folder.stat().st_mtime
            is_elsewhere = _owner(folder)[1] not in ("", _place())
            least = _ELSEWHERE_SECONDS if is_elsewhere else _STARTS_WITHIN_SECONDS
            if age > least and (is_elsewhere or not _is_owned(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_owned(folder: Path) -> bool:
    """Whether the process that it belongs to runs, and names it on its command line."""
    import psutil

    try:
        command = psutil.Process(_owner(folder)[0]).cmdline()
    except (psutil.Error, ValueError):
        return False
    return any(str(folder) in word for word in command)


def _owner(folder: Path) -> tuple[int, str]:
    """The server's process, and where it has that number; -1 where nobody has noted one yet."""
    try:
        pid, _, place = (folder / _OWNER).read_text().partition(" ")
        return int(pid), place
    except (OSError, ValueError):
        return -1, ""


def _place() -> str:
    """Among whose processes a number is looked up: a cache may be shared by machines."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError as exc:
        raise RepositoryError(f"{file} cannot be read: {exc}", "Build the model again.") from exc
