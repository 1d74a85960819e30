"""A watch that outlives whatever goes wrong with one model, and with who is told."""

import time
from types import SimpleNamespace

import pytest

from nosbuild.repository.layout import ModelFolder
from nosbuild.rollout import watch
from nosbuild.rollout.outcome import RollOut
from nosbuild.runtime.served_files import make_served_files


def publish(folder, version):
    folder.version(version).mkdir(parents=True, exist_ok=True)
    (folder.version(version) / "nos.lock").write_text(f"lock {version}")
    folder.config.write_text(
        f'name: "{folder.name}" version_policy {{ specific {{ versions: {version} }} }}'
    )


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch, "_RETRY_SECONDS", 0.02)
    for name in ("bad", "good"):
        publish(ModelFolder(tmp_path / "repository" / name), 1)
    made = SimpleNamespace(repository=tmp_path / "repository", files=make_served_files("one"))
    made.files.remember(made.repository, ["bad", "good"])

    def roll_out(server, name, load):
        server.files.remember(server.repository, [name])
        return (RollOut(name, (1,), (2,)),)

    monkeypatch.setattr(watch, "roll_out", roll_out)
    return made


@pytest.fixture
def watching(server):
    """Watches; what is told is in the list. It raises what ``raises`` holds first."""
    raises, told = [], []

    def tell(line):
        told.append(line)
        if raises:
            raise raises.pop()

    looking = watch.Watch(server, tell)
    yield (
        ModelFolder(server.repository / "bad"),
        ModelFolder(server.repository / "good"),
        told,
        (raises),
    )
    looking.close()


def until(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_folder_that_cannot_be_read_is_told_once_and_the_others_are_watched(watching):
    bad, good, told, _ = watching
    bad.path.rename(bad.path.with_name(".away"))
    bad.path.write_text("no folder")
    until(lambda: told)
    assert "bad: its new version cannot be tried now, and waits" in told[0]
    publish(good, 2)
    until(lambda: len(told) > 1)
    assert told[1].startswith("good: version 2 serves")
    time.sleep(0.2)  # many times as long as until it is tried again
    assert len(told) == 2
    bad.path.unlink()
    bad.path.with_name(".away").rename(bad.path)
    publish(bad, 2)
    until(lambda: len(told) > 2)
    assert told[2].startswith("bad: version 2 serves")


def test_a_config_that_stays_broken_is_told_once(watching):
    bad, _, told, _ = watching
    bad.config.write_text("no config")
    until(lambda: told)
    assert str(bad.config) in told[0]
    time.sleep(0.2)
    assert len(told) == 1


def test_who_is_told_may_raise(watching, capfd):
    _, good, told, raises = watching
    raises.append(ValueError("of the user"))
    publish(good, 2)
    until(lambda: told)
    publish(good, 3)
    until(lambda: len(told) > 1)
    assert "ValueError: of the user" in capfd.readouterr().err
