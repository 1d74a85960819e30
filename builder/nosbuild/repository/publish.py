"""A VerifiedVariant goes in; a new version in the repository comes out, or none if nothing changed.

Order of writing: the new version folder is staged under a hidden name, gets its number by one
rename (Triton does not serve it yet: config.pbtxt names the versions that it serves), then
config.pbtxt is replaced by one rename, which is the publication. Interrupted anywhere, the
repository serves what it served before; a version that was complete by then is taken up by the
next build of the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused, RepositoryError
from nosbuild.repository.config import (
    interface_digest,
    model_config,
    read_config,
    warmup_files,
    write_text,
)
from nosbuild.repository.layout import (
    GOLDEN,
    LOCK,
    PUBLISH_LOCK,
    REFUSED,
    REPORT,
    STAGING_PREFIX,
    WARMUP,
    ModelFolder,
)
from nosbuild.repository.lock import Lock, write_lock
from nosbuild.repository.placed import keep_placement
from nosbuild.repository.pruning import prune_versions, warmup_prefix
from nosbuild.repository.refused import refusal_of
from nosbuild.repository.served import (
    alike_versions,
    built_versions,
    identity_of,
    newest_lock,
    served_versions,
)
from nosbuild.store.hashing import sha256_of_file, sha256_of_value
from nosbuild.store.host_errors import host_errors
from nosbuild.store.locks import shared_lock
from nosbuild.verify.golden import read_golden

if TYPE_CHECKING:
    from nosbuild.plan import HostFacts
    from nosbuild.spec import ModelSpec
    from nosbuild.verify.variant import VerifiedVariant

NOTHING = "nothing changed"


@dataclass(frozen=True)
class Origins:
    """What went into a variant, for the lock."""

    spec_digest: str
    """Of what the model.yaml says (``lock.spec_digest``)."""
    steps: dict[str, str]
    read: dict[str, str]
    host: HostFacts
    nosbuild: str
    spec: dict[str, Any] | None = None
    """What the model.yaml says (``lock.spec_content``), for who compares versions."""


@dataclass(frozen=True)
class Publication:
    """What publishing did."""

    folder: Path
    version: int
    is_new: bool
    """False where the newest version already was this one."""
    why: str
    """What was written, or that nothing had changed."""
    replaced: str = ""
    """Variant of the newest version before it; empty where there was none."""
    note: str = ""
    """What became of a placement on GPUs; empty where there is nothing to say."""

    @property
    def is_unchanged(self) -> bool:
        """True where nothing at all was written."""
        return self.why == NOTHING


@dataclass(frozen=True)
class _New:
    """A version to write."""

    variant: VerifiedVariant
    lock: Lock
    report: str


def publish(
    variant: VerifiedVariant,
    spec: ModelSpec,
    repository: Path,
    origins: Origins,
    report: str,
) -> Publication:
    """Publish ``variant`` as ``repository/<name>``.

    Args:
        variant: proven, byte for byte.
        spec: with its tensors known.
        repository: Triton's model repository; made if it does not exist.
        origins: for nos.lock.
        report: JSON, what the build found out about every variant.

    Raises:
        SpecError: settings that Triton's configuration does not know.
        Refused: it is, byte for byte, the newest version, which a running server refused.
        HostError: no space, or no right to write there. Nothing is changed then.
    """
    folder = ModelFolder(repository.resolve() / spec.name)
    with ExitStack() as held:
        with _unchanged(folder):
            folder.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(shared_lock(folder.path / PUBLISH_LOCK))
            _remove_leftovers(folder)
        return _publish_locked(variant, spec, folder, origins, report)


def _publish_locked(
    variant: VerifiedVariant,
    spec: ModelSpec,
    folder: ModelFolder,
    origins: Origins,
    report: str,
) -> Publication:
    golden = read_golden(variant.golden)
    prefix = warmup_prefix(variant.golden)
    messages, files = warmup_files(variant, spec, golden[0].inputs, prefix)
    unversioned = model_config(variant, spec, messages, [])
    settings = sha256_of_value(write_text(unversioned))
    interface = interface_digest(unversioned)
    identity = sha256_of_value(
        [
            variant.proof.artifact,
            settings,
            prefix,
            origins.spec_digest,
            *([] if variant.proof.passed else ["unproven"]),
        ]
    )
    _check_not_refused(folder, identity)
    newest = newest_lock(folder)
    if newest and newest.identity == identity and _intact(folder, newest):
        served = served_versions(spec, alike_versions(folder, interface))
        settled = model_config(variant, spec, messages, served)
        keep_placement(settled, folder, newest.spec, origins.spec)
        config = write_text(settled)
        if _reads(folder, config) and _has_all(folder, files):
            return Publication(folder.path, newest.version, is_new=False, why=NOTHING)
        with _unchanged(folder):
            _write(folder, None, files, config)
        return Publication(folder.path, newest.version, is_new=False, why="config.pbtxt restored")
    version = max(folder.versions(), default=0) + 1
    served = served_versions(spec, [*alike_versions(folder, interface), version])
    settled = model_config(variant, spec, messages, served)
    note = keep_placement(settled, folder, newest.spec if newest else None, origins.spec)
    config = write_text(settled)
    lock = Lock(
        model=spec.name,
        version=version,
        variant=variant.name,
        backend=variant.runs_on.backend,
        details=variant.details,
        identity=identity,
        spec_digest=origins.spec_digest,
        artifact=variant.proof.artifact,
        interface=interface,
        config_sha256=settings,
        steps=origins.steps,
        read=origins.read,
        libraries=origins.host.libraries,
        host={k: v for k, v in asdict(origins.host).items() if k != "libraries"},
        proof=variant.proof.model_dump(mode="json"),
        memory=variant.memory.model_dump(exclude_none=True) if variant.memory else None,
        tensors=spec.section("inputs", "outputs", "dims"),
        spec=origins.spec,
        nosbuild=origins.nosbuild,
    )
    with _unchanged(folder):
        _write(folder, _New(variant, lock, report), files, config)
    with host_errors(
        f"{folder.path} serves version {version}, but older ones could not be removed",
        "Change the rights of what is in there.",
    ):
        prune_versions(folder, served, files)
    return Publication(
        folder.path,
        version,
        is_new=True,
        why="published",
        replaced=newest.variant if newest else "",
        note=note,
    )


def _check_not_refused(folder: ModelFolder, identity: str) -> None:
    """Refuse what a running server refused, though other versions were built since."""
    for version in built_versions(folder):
        reason = refusal_of(folder, version)
        if not reason or identity_of(folder, version) != identity:
            continue
        raise Refused(
            f"{folder.name}: this is version {version} again, which a running server "
            f"refused: {reason}",
            f"Change what is wrong with it; or remove {folder.version(version) / REFUSED} and "
            "build again, where it was not the model's fault.",
        )


def _write(
    folder: ModelFolder,
    new: _New | None,
    files: dict[str, bytes],
    config: str,
) -> None:
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder.path))
    try:
        if new:
            _write_version(staging / "version", new)
        (staging / "config").write_text(config, encoding="utf-8")
        warmup = folder.path / WARMUP
        warmup.mkdir(exist_ok=True)
        for name, data in files.items():
            (staging / name).write_bytes(data)
        _flush(*staging.rglob("*"))
        for name in files:
            (staging / name).replace(warmup / name)
        if new:
            (staging / "version").rename(folder.version(new.lock.version))
        _flush(warmup, folder.path)
        (staging / "config").replace(folder.config)
        _flush(folder.path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_version(version: Path, new: _New) -> None:
    (version / GOLDEN).mkdir(parents=True)
    for sample in new.variant.golden.glob("*.npz"):  # not copytree, whose error hides a full disk
        shutil.copyfile(sample, version / GOLDEN / sample.name)
    for name in new.variant.proof.artifact:
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(new.variant.artifact / name, version / name)
    write_lock(new.lock, version / LOCK)
    (version / REPORT).write_text(new.report, encoding="utf-8")


def _flush(*paths: Path) -> None:
    """Bytes reach the disk before the names do: a power cut publishes all of it or nothing."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reads(folder: ModelFolder, config: str) -> bool:
    try:
        return write_text(read_config(folder.config)) == config
    except RepositoryError:
        return False  # not there, or broken: it is written again


def _has_all(folder: ModelFolder, files: dict[str, bytes]) -> bool:
    """Whether the warm-up files are those that would be written."""
    paths = {folder.path / WARMUP / name: data for name, data in files.items()}
    return all(path.is_file() and path.read_bytes() == data for path, data in paths.items())


def _intact(folder: ModelFolder, lock: Lock) -> bool:
    for name, digest in lock.artifact.items():
        path = folder.version(lock.version) / name
        if not path.is_file() or sha256_of_file(path) != digest:
            return False
    return True


def _remove_leftovers(folder: ModelFolder) -> None:
    """Staging folders of a killed build."""
    for path in folder.path.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(path)


def _unchanged(folder: ModelFolder) -> AbstractContextManager[None]:
    return host_errors(
        f"{folder.path} serves what it served before, nothing was published",
        "Change its rights, or name another --repository.",
    )
