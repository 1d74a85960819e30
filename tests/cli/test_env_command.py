"""`nosbuild env` on environments in a cache folder of its own."""

import dataclasses
import os
import time

import pytest

from nosbuild.environments import made_once
from nosbuild.environments.model_environment import model_environment, resolve

DAY = 86400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two environments that nobody uses, and the cache folder they lie in."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSBUILD_CACHE", str(folder))
        environments = []
        for requirement in ("six==1.15.0", "six==1.16.0"):
            locked = resolve([requirement], on_progress=print)
            only = tuple(each for each in locked.packages if each.name == "six")
            locked = dataclasses.replace(locked, packages=only)
            environments.append(model_environment(locked, print))
            os.close(made_once._HELD.pop(environments[-1].folder))
    return folder, environments


@pytest.fixture
def command(nosbuild, made):
    def run(*arguments):
        return nosbuild("env", *arguments, NOSBUILD_CACHE=str(made[0]))

    return run


def aged(environment, days):
    when = time.time() - days * DAY
    os.utime(environment.folder / ".used", (when, when))


def test_ls_shows_python_packages_and_size(command, made):
    _, (old, new) = made
    done = command("ls")
    assert done.code == 0, done.err
    assert old.key in done.out and new.key in done.out
    assert done.out.splitlines()[-1].startswith("2 environments, ")
    rows = {row["key"]: row for row in command("ls", "--json").json}
    assert rows[new.key]["locked"] == new.locked.as_json()
    assert rows[new.key]["models"] == []
    assert rows[new.key]["state"] == "unused"
    assert rows[new.key]["bytes"] > 30_000


def test_one_that_does_not_say_what_it_is(command, made):
    broken = made[0] / "environments/0123456789abcdef"
    broken.mkdir()
    try:
        assert "broken" in command("ls").out
    finally:
        broken.rmdir()


def test_prune_removes_what_was_not_used_for_long_and_nothing_else(command, nosbuild, made):
    folder, (old, new) = made
    aged(old, 31)
    aged(new, 29)
    log = folder / "logs/a.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("x")
    os.utime(log, (0, 0))
    would = command("prune", "--dry-run", "--json").json
    assert would["environments"] == [old.key]
    assert old.folder.exists()
    done = command("prune")
    assert done.out.startswith("freed") and done.out.strip().endswith("1 environment")
    assert not old.folder.exists()
    assert new.folder.exists() and log.exists()
    cached = nosbuild("cache", "ls", "--json", NOSBUILD_CACHE=str(folder)).json["server_files"]
    kinds = {row["kind"] for row in cached}
    assert {"model environment", "resolution", "log"} <= kinds
    assert command("prune", "--all", "--json").json["environments"] == [new.key]
    assert not list((folder / "resolved").iterdir())
    assert log.exists()
