"""Several users publish in one repository, each with a cache folder of their own."""

import multiprocessing
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from variants import make_variant, publish_mark, publish_variant

from nosbuild.repository.check import check_repository
from nosbuild.repository.layout import PUBLISH_LOCK
from nosbuild.spec import load_spec
from nosbuild.store.locks import shared_lock

SPAWN = multiprocessing.get_context("spawn")


def _publish(repository, scratch, mark, cache, gate, made):
    os.environ["NOSBUILD_CACHE"] = str(cache)
    spec = load_spec(repository / "m")  # written before: two writers would see halves
    variants = [make_variant(scratch / mark, spec, f"{mark}{i}") for i in range(6)]
    gate.wait()
    made.put([publish_variant(variant, spec, repository).version for variant in variants])


def test_every_publication_gets_a_version_of_its_own(repository, scratch, tmp_path):
    publish_mark(repository, scratch, "first")
    gate, made = SPAWN.Barrier(2), SPAWN.Queue()
    users = [
        SPAWN.Process(
            target=_publish, args=(repository, scratch, mark, tmp_path / mark, gate, made)
        )
        for mark in "ab"
    ]
    for user in users:
        user.start()
    versions = [version for _ in users for version in made.get(timeout=60)]
    for user in users:
        user.join()
    assert [user.exitcode for user in users] == [0, 0]
    assert sorted(versions) == list(range(2, 14))
    assert check_repository(repository) == []
    assert not list((repository / "m").glob(".staging-*"))


def _lock_as(user, file, said):
    os.setuid(user)
    with shared_lock(file):
        said.put("in")


@pytest.fixture
def open_folder():
    """One that others may look into; pytest closes its own to them, whenever one is started."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_another_user_waits(open_folder, mode):
    file = open_folder / PUBLISH_LOCK
    file.touch()
    file.chmod(mode)
    said = SPAWN.Queue()
    other = SPAWN.Process(target=_lock_as, args=(65534, file, said))
    with shared_lock(file):
        other.start()
        other.join(1.5)
        assert other.is_alive()
        assert said.empty()
    assert said.get(timeout=30) == "in"
    other.join()
    assert other.exitcode == 0
