"""What is noted as served is what was loaded, though something is published meanwhile."""

import fcntl
import os

import pytest

from nosbuild.errors import RequestError
from nosbuild.repository.layout import PUBLISH_LOCK, ModelFolder
from nosbuild.runtime.served_files import make_served_files, snapshot_of
from nosbuild.runtime.taking_up import take_up


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    return make_served_files("one")


@pytest.fixture
def repository(tmp_path):
    for name, more in (("m", "ensemble_scheduling { step { model_name: 'part' } }"), ("part", "")):
        folder = ModelFolder(tmp_path / "repository" / name)
        for version in (1, 2):
            folder.version(version).mkdir(parents=True)
            (folder.version(version) / "model.onnx").write_text("")
        (folder.path / PUBLISH_LOCK).touch()  # a build has published it
        publish(folder, 1, more)
    return tmp_path / "repository"


def publish(folder, version, more=""):
    if version > 1:
        (folder.version(version) / "nos.lock").write_text(f"lock {version}")
    text = f'name: "{folder.name}" version_policy {{ specific {{ versions: {version} }} }} {more}'
    folder.config.write_text(text)


def is_locked(folder):
    descriptor = os.open(folder.path / PUBLISH_LOCK, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_what_is_noted_was_there_before_the_load_and_is_held_still(files, repository):
    model, part = ModelFolder(repository / "m"), ModelFolder(repository / "part")
    before = snapshot_of(model), snapshot_of(part)

    def load(names):
        assert set(names) == {"m", "part"}
        assert is_locked(model) and is_locked(part)
        publish(model, 2)  # somebody who asks for no lock
        publish(part, 2)

    take_up(repository, "m", load, files=files)
    assert (files.served("m"), files.served("part")) == before
    assert not is_locked(model)
    # What it calls is known by now: its new version is no business of this load.
    take_up(repository, "m", lambda _: None, files=files)
    assert files.served("m") == snapshot_of(model)
    assert files.served("part") == before[1]


def test_what_is_published_after_the_roll_out_is_rolled_out_too(files, repository):
    files.remember(repository, ["m", "part"])
    loaded, rolled = [], []

    def rolls_out():
        rolled.append(len(rolled))
        if len(rolled) == 1:
            publish(ModelFolder(repository / "part"), 2)  # once it has looked
            return False
        files.remember(repository, ["part"])  # proven, and taken up
        return False

    take_up(repository, "m", loaded.append, files=files, rolls_out=rolls_out)
    assert rolled == [0, 1]
    assert loaded == [["m", "part"]]


def test_it_does_not_load_what_is_never_proven(files, repository):
    files.remember(repository, ["m", "part"])
    publish(ModelFolder(repository / "m"), 2)
    with pytest.raises(RequestError, match="again and again"):
        take_up(repository, "m", pytest.fail, files=files, rolls_out=lambda: False)
