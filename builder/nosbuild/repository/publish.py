"""A VerifiedVariant goes in; a new version in the repository comes out, or none if nothing changed.

Order of writing: the new version folder is staged under a hidden name, gets its number by one
rename (Triton does not serve it yet: config.pbtxt names the versions that it serves), then
config.pbtxt is replaced by one rename, which is the publication. Interrupted anywhere, the
repository serves what it served before.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from nosbuild.errors import HostError, RepositoryError
from nosbuild.repository.config import model_config, read_config, warmup_files, write_text
from nosbuild.repository.layout import GOLDEN, LOCK, REPORT, STAGING_PREFIX, WARMUP, ModelFolder
from nosbuild.repository.lock import Lock, read_lock, write_lock
from nosbuild.store.hashing import sha256_of_file, sha256_of_files, sha256_of_value
from nosbuild.verify.golden import read_golden

if TYPE_CHECKING:
    from nosbuild.plan import HostFacts
    from nosbuild.spec import ModelSpec
    from nosbuild.verify.variant import VerifiedVariant

KEPT_VERSIONS = 3
"""Version folders left in place: the published ones, and earlier ones to go back to."""


@dataclass(frozen=True)
class Origins:
    """What went into a variant, for the lock."""

    spec_digest: str
    """Of what the model.yaml says (``lock.spec_digest``)."""
    steps: dict[str, str]
    read: dict[str, str]
    host: HostFacts
    nosbuild: str


@dataclass(frozen=True)
class Publication:
    """What publishing did."""

    folder: Path
    version: int
    is_new: bool
    """False where the published version already was this one."""


def publish(
    variant: VerifiedVariant, spec: ModelSpec, repository: Path, origins: Origins, locks: Path
) -> Publication:
    """Publish ``variant`` as ``repository/<name>``.

    Args:
        variant: proven, byte for byte.
        spec: with its tensors known.
        repository: Triton's model repository; made if it does not exist.
        origins: for nos.lock.
        locks: a folder for lock files, outside the repository.

    Raises:
        SpecError: settings that Triton's configuration does not know.
        HostError: no space, or no right to write there. Nothing is changed then.
    """
    folder = ModelFolder(repository.resolve() / spec.name)
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"publish-{sha256_of_value(str(folder.path))[:16]}.lock"):
        with _host_errors(folder):
            folder.path.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(folder)
        return _publish_locked(variant, spec, folder, origins)


def _publish_locked(
    variant: VerifiedVariant, spec: ModelSpec, folder: ModelFolder, origins: Origins
) -> Publication:
    golden = read_golden(variant.golden)
    prefix = sha256_of_value(sha256_of_files(variant.golden.glob("*.npz"), variant.golden))[:12]
    messages, files = warmup_files(variant, spec, golden[0].inputs, prefix)
    settings = sha256_of_value(write_text(model_config(variant, spec, messages, [])))
    identity = sha256_of_value([variant.proof.artifact, settings, prefix, origins.spec_digest])
    published = _published(folder)
    if published and published.identity == identity and _intact(folder, published):
        return Publication(folder.path, published.version, is_new=False)
    version = max(folder.versions(), default=0) + 1
    lock = Lock(
        model=spec.name,
        version=version,
        variant=variant.name,
        identity=identity,
        spec_digest=origins.spec_digest,
        artifact=variant.proof.artifact,
        config_sha256=settings,
        steps=origins.steps,
        read=origins.read,
        libraries=origins.host.libraries,
        host={k: v for k, v in asdict(origins.host).items() if k != "libraries"},
        proof=variant.proof.model_dump(mode="json"),
        nosbuild=origins.nosbuild,
    )
    served = _served_versions(folder, spec, version)
    config = write_text(model_config(variant, spec, messages, served))
    with _host_errors(folder):
        _write(variant, folder, lock, files, config)
        _prune(folder, served)
    return Publication(folder.path, version, is_new=True)


def _write(
    variant: VerifiedVariant, folder: ModelFolder, lock: Lock, files: dict[str, bytes], config: str
) -> None:
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder.path))
    try:
        version = staging / "version"
        shutil.copytree(variant.golden, version / GOLDEN)
        for name in variant.proof.artifact:
            shutil.copyfile(variant.artifact / name, version / name)
        write_lock(lock, version / LOCK)
        report = variant.measurement.model_dump_json(indent=1)
        (version / REPORT).write_text(report + "\n", encoding="utf-8")
        (staging / "config").write_text(config, encoding="utf-8")
        warmup = folder.path / WARMUP
        warmup.mkdir(exist_ok=True)
        for name, data in files.items():
            (staging / name).write_bytes(data)
            (staging / name).replace(warmup / name)
        _flush(staging)
        version.rename(folder.version(lock.version))
        (staging / "config").replace(folder.config)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Bytes reach the disk before the names do: a power cut publishes all of it or nothing."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _published(folder: ModelFolder) -> Lock | None:
    """The lock of the newest published version; None where nothing usable is published."""
    try:
        versions = read_config(folder.config).version_policy.specific.versions
        return read_lock(folder.version(max(versions)) / LOCK) if versions else None
    except RepositoryError:
        return None  # not built yet, or broken: either way this build publishes anew


def _intact(folder: ModelFolder, lock: Lock) -> bool:
    for name, digest in lock.artifact.items():
        path = folder.version(lock.version) / name
        if not path.is_file() or sha256_of_file(path) != digest:
            return False
    return True


def _served_versions(folder: ModelFolder, spec: ModelSpec, new: int) -> list[int]:
    """The spec's version policy as a list of versions: what makes publication one rename."""
    policy = spec.version_policy
    existing = [
        version for version in folder.versions() if (folder.version(version) / LOCK).is_file()
    ]
    if policy.kind == "all":
        return sorted({*existing, new})
    if policy.kind == "specific":
        return sorted({*(set(existing) & set(policy.versions)), new})
    return sorted({*existing, new})[-policy.latest :]


def _prune(folder: ModelFolder, served: list[int]) -> None:
    kept = {*served, *folder.versions()[-KEPT_VERSIONS:]}
    for version in folder.versions():
        if version not in kept and (folder.version(version) / LOCK).is_file():
            shutil.rmtree(folder.version(version))


def _remove_leftovers(folder: ModelFolder) -> None:
    """What a killed build left: staging folders, and version folders that were never published."""
    for path in folder.path.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(path)


@contextmanager
def _host_errors(folder: ModelFolder) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reasons: dict[int | None, tuple[str, str]] = {
            errno.ENOSPC: ("the disk is full", "Free some space and build again."),
            errno.EDQUOT: ("your disk quota is used up", "Free some space and build again."),
            errno.EROFS: ("the file system is read-only", "Name another --repository."),
            errno.EACCES: (
                "you may not write there",
                "Change its rights, or name another --repository.",
            ),
            errno.EPERM: (
                "you may not write there",
                "Change its rights, or name another --repository.",
            ),
        }
        reason, remedy = reasons.get(exc.errno, (str(exc), "Name another --repository."))
        raise HostError(
            f"{folder.path} was not changed: {reason}. What it served before, it still serves.",
            remedy,
        ) from exc
