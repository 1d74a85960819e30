"""What servers leave in the cache folder: what goes, and what stays."""

import os
import subprocess
import sys
import time

import pytest

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.environments.made_once import USED, made_once
from nosbuild.runtime.environment import backends_folder, server_folder
from nosbuild.runtime.server_files import prune_server_files, server_files

DAY = 86400


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path))
    return tmp_path


def used_before(path, days):
    when = time.time() - days * DAY
    for file in (path / USED, path) if path.is_dir() else (path,):
        if file.exists():
            os.utime(file, (when, when))


def environment(folder, days=0.0):
    """As a server leaves it that has ended."""
    folder.mkdir(parents=True)
    (folder / "triton").write_bytes(b"x" * 1000)
    (folder / USED).touch()
    used_before(folder, days)
    return folder


def names(files):
    return {file.path.name for file in files}


def states(root):
    return {str(file.path.relative_to(root)): file.state for file in server_files()}


def test_an_environment_of_another_nosbuild_goes_once_it_is_old(root):
    current = environment(server_folder(find_interpreter()), days=99)
    beside = environment(backends_folder(current), days=99)
    old, recent = environment(root / "server/old", 31), environment(root / "server/recent", 29)
    compiled = root / "pycache" / str(old).lstrip("/") / "python/x.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    assert states(root) == {
        f"server/{current.name}": "current",
        f"backends/{beside.name}": "current",
        "server/old": "unused",
        "server/recent": "unused",
    }
    (would_go,) = prune_server_files(dry_run=True)
    assert (would_go.path, would_go.bytes, would_go.kind) == (old, 1000, "server environment")
    assert old.exists()
    assert names(prune_server_files()) == {"old"}
    assert not old.exists() and not compiled.exists()
    assert recent.exists() and current.exists() and beside.exists()
    assert names(prune_server_files(older_than=DAY)) == {"recent"}
    assert names(prune_server_files(everything=True)) == {current.name, beside.name}
    assert not list((root / "server").iterdir())


def test_what_killed_builds_left_half_made_goes(root):
    left = root / "environments/0123456789abcdef.making-x"
    (left / "lib").mkdir(parents=True)
    prune_server_files(kinds=["model environment"])
    assert not left.exists()


def test_what_this_process_uses_stays(root):
    folder = made_once(root / "server/mine", lambda making: None, print)
    used_before(folder, 99)
    assert states(root) == {"server/mine": "in use"}
    assert prune_server_files(everything=True) == []
    assert folder.exists()


def test_what_a_server_of_an_older_nosbuild_runs_from_stays(root):
    """It holds no lock; its command line names the folder."""
    folder = root / "backends/older"
    folder.mkdir(parents=True)
    used_before(folder, 99)
    server = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", f"--backend-directory={folder}"]
    )
    try:
        while states(root) != {"backends/older": "in use"}:  # between fork and exec
            assert server.poll() is None
        assert prune_server_files(everything=True) == []
    finally:
        server.kill()
        server.wait()
    assert names(prune_server_files(everything=True)) == {"older"}


def test_old_logs_and_notes_go(root):
    for name, days in (("logs/a.log", 31), ("logs/b.log", 29), ("last/c.json", 31)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
        used_before(root / name, days)
    assert names(prune_server_files()) == {"a.log", "c.json"}
    assert names(server_files()) == {"b.log"}


def test_an_empty_cache(root):
    assert server_files() == []
    assert prune_server_files(everything=True) == []
