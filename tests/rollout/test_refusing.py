"""How a refusal goes back: in which order, under which lock, and with which placement."""

import fcntl
from types import SimpleNamespace

import pytest

import nosbuild.rollout.refusing as refusing
from nosbuild.errors import HostError, RequestError
from nosbuild.repository.config import read_config, write_text
from nosbuild.repository.layout import PUBLISH_LOCK, ModelFolder
from nosbuild.repository.placed import is_placed, place_instances
from nosbuild.repository.refused import refusal_of
from nosbuild.rollout.loads import LoadFailed
from nosbuild.runtime.served_files import snapshot_of

CONFIG = """
name: "m"
backend: "onnxruntime"
version_policy {{ specific {{ versions: {version} }} }}
instance_group {{ count: {count} kind: KIND_GPU }}
"""


@pytest.fixture
def folder(tmp_path):
    made = ModelFolder(tmp_path / "m")
    for version in (1, 2):
        made.version(version).mkdir(parents=True)
    (made.path / PUBLISH_LOCK).touch()  # a build has published it
    return made


def write(folder, version, count=1, placed=None):
    folder.config.write_text(CONFIG.format(version=version, count=count))
    if placed:
        config = read_config(folder.config)
        place_instances(config, placed)
        folder.config.write_text(write_text(config))
    return snapshot_of(folder)


class StandIn:
    """A server in whose place only what is asked of it counts; an error: it is busy."""

    def __init__(self, folder, error=None):
        self.server = SimpleNamespace(
            repository=folder.path.parent, grpc_url="", log_file="", environment=lambda _: None
        )
        self.client = SimpleNamespace(is_healthy=lambda: True)
        self.settled = []
        self._error = error

    def settle(self, folder, served, *, is_restored, load):
        self.settled.append((served, is_restored, load))
        if self._error:
            raise self._error


def carry_out(folder, served, published, loads=None):
    refusal = refusing.Refusal(folder, served, published, {2: "it is wrong"})
    return refusal.carry_out(loads or StandIn(folder), False, print)


def test_it_goes_back_before_it_marks_and_nobody_publishes_meanwhile(folder, monkeypatch):
    served, published = write(folder, 1), write(folder, 2)
    seen = []

    def mark(*arguments):
        seen.append(folder.config.read_bytes())
        with (folder.path / PUBLISH_LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise HostError("no space")

    monkeypatch.setattr(refusing, "mark_refused", mark)
    loads = StandIn(folder)
    assert carry_out(folder, served, published, loads) == "no space"
    assert seen == [served.config]
    assert folder.config.stat().st_mtime_ns == served.changed_ns
    assert loads.settled == [(served, True, False)]


def test_what_was_published_meanwhile_stays(folder):
    served, published = write(folder, 1), write(folder, 2)
    newest = write(folder, 2, count=3)
    loads = StandIn(folder)
    with pytest.raises(refusing.Superseded):
        carry_out(folder, served, published, loads)
    assert folder.config.read_bytes() == newest.config
    assert not refusal_of(folder, 2)
    assert not loads.settled


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RequestError("no room"), "the server does not hold to what it served: no room"),
        (LoadFailed("torn"), "what was served does not load again: torn"),
    ],
)
def test_a_server_that_is_busy_does_not_lose_the_refusal(folder, error, told):
    served, published = write(folder, 1), write(folder, 2)
    assert carry_out(folder, served, published, StandIn(folder, error)) == told
    assert refusal_of(folder, 2) == "it is wrong"
    assert folder.config.read_bytes() == served.config


def test_the_server_is_told_though_nothing_can_be_put_back(folder):
    served, published = write(folder, 1), write(folder, 2)
    folder.version(1).rmdir()
    loads = StandIn(folder)
    assert "version 1 is gone" in carry_out(folder, served, published, loads)
    assert folder.config.read_bytes() == published.config
    assert refusal_of(folder, 2) == "it is wrong"
    assert loads.settled == [(served, False, False)]


def test_a_placement_outlives_what_was_refused(folder):
    served = write(folder, 1)
    published = write(folder, 2, placed={0: 2, 1: 1})
    assert carry_out(folder, served, published) == ""
    config = read_config(folder.config)
    assert is_placed(config)
    assert list(config.instance_group) == list(published.parsed().instance_group)
    assert list(config.version_policy.specific.versions) == [1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"count": 2, "placed": {0: 2}}),  # other instances: it is none of its placements
        ({"placed": {0: 2}}, {"placed": {0: 2}}),
        ({"placed": {0: 2}}, {}),  # gone with the build that was refused
    ],
)
def test_otherwise_it_is_as_it_was(folder, before, after):
    served, published = write(folder, 1, **before), write(folder, 2, **after)
    assert carry_out(folder, served, published) == ""
    assert (folder.config.read_bytes(), folder.config.stat().st_mtime_ns) == (
        served.config,
        served.changed_ns,
    )
