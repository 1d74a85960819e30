"""What a server remembers of the models that it serves, and what of them is new."""

import os
import time
from pathlib import Path

import pytest

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import ModelFolder
from nosbuild.runtime.served_files import make_served_files, served_files_of, snapshot_of


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/serving"


@pytest.fixture
def model(tmp_path):
    folder = ModelFolder(tmp_path / "repository/m")
    for version in (1, 2, 3):
        folder.version(version).mkdir(parents=True)
        (folder.version(version) / "nos.lock").write_text(f"lock {version}")
    publish(folder, 1)
    return folder


def publish(folder, *versions):
    named = " ".join(f"versions: {version}" for version in versions)
    folder.config.write_text(f'name: "m" version_policy {{ specific {{ {named} }} }}')


def test_what_is_noted_comes_back(model):
    files = make_served_files("one")
    assert files.served("m") is None
    files.remember(model.path.parent, ["m", "not_there"])
    assert files.served("m") == snapshot_of(model)
    assert files.names() == ["m"]


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [((1,), (2,), [2]), ((1,), (1, 3), [3]), ((1, 2), (2,), []), ((2,), (1,), [1])],
)
def test_versions_that_it_did_not_have_are_new(model, before, after, new):
    publish(model, *before)
    served = snapshot_of(model)
    publish(model, *after)
    assert snapshot_of(model).new_versions(served) == new


def test_another_build_of_the_same_number_is_new_and_the_old_one_gone(model):
    served = snapshot_of(model)
    assert served.has(model, 1)
    (model.version(1) / "nos.lock").write_text("another")
    assert snapshot_of(model).new_versions(served) == [1]
    assert not served.has(model, 1)


def test_versions_made_by_hand_are_never_new(model):
    served = snapshot_of(model)
    (model.version(2) / "nos.lock").unlink()
    publish(model, 2)
    assert snapshot_of(model).new_versions(served) == []
    model.config.write_text('backend: "python"')  # the latest
    assert snapshot_of(model).new_versions(served) == [3]


def test_a_broken_config_is_told(model):
    model.config.write_text("name: ")
    with pytest.raises(RepositoryError, match=r"config\.pbtxt"):
        snapshot_of(model)
    model.config.unlink()
    with pytest.raises(RepositoryError, match="cannot be read"):
        snapshot_of(model)


def test_what_a_killed_server_left_goes_with_the_next_start(root):
    """A folder belongs to the process that names it on its command line, whatever its age."""
    old, young = make_served_files("old"), make_served_files("young")
    old.belongs_to(os.getpid())  # which does not name it: that number is another process by now
    hours_ago = time.time() - 7200
    os.utime(old.folder, (hours_ago, hours_ago))
    make_served_files("new")
    assert {folder.name for folder in root.iterdir()} == {"young", "new"}
    assert young.models.is_dir()
    assert served_files_of(os.getpid()) is None


def test_two_do_not_change_what_is_served_at_once(tmp_path):
    import threading

    files = make_served_files("one")
    order: list[str] = []

    def other():
        with files.locked():
            order.append("other")

    with files.locked():
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
    assert Path(files.folder, "lock").exists()
