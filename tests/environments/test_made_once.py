"""A folder that is made once, by whoever comes first, and never half."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from nosbuild.environments import made_once as made_once_module
from nosbuild.environments.made_once import USED, made_once, remove_half_made
from nosbuild.errors import HostError
from nosbuild.store.in_use import unused


def quiet(_):
    return None


def make_slowly(folder):
    time.sleep(0.3)
    (folder / "content").write_text("whole")
    with (folder.parent / "made").open("a") as made:
        made.write("x")


def make_in_a_process(folder, answers):
    said = []
    answers.put((str(made_once(folder, make_slowly, said.append)), said))


def test_processes_that_come_together_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    folder = tmp_path / "cache/thing"
    processes = [
        context.Process(target=make_in_a_process, args=(folder, answers)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert {path for path, _ in told} == {str(folder)}
    assert (folder / "content").read_text() == "whole"
    assert (folder.parent / "made").read_text() == "x"
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [
        "made",
        "thing",
        "thing.lock",
    ]


KILLED = """
import sys, os, signal
from pathlib import Path
from nosbuild.environments import made_once as made_once_module
from nosbuild.environments.made_once import USED, made_once
from nosbuild.store.in_use import unused

def make(folder):
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)

made_once(Path(sys.argv[1]), make, print)
"""


def test_a_killed_build_leaves_nothing_that_is_used(tmp_path):
    folder = tmp_path / "thing"
    killed = subprocess.run([sys.executable, "-c", KILLED, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert list(tmp_path.glob("thing.making-*/half")), "nothing was left; nothing was tested"
    made_once(folder, make_slowly, quiet)
    assert (folder / "content").exists()
    assert not (folder / "half").exists()
    assert not list(tmp_path.glob("thing.making-*"))


def test_what_a_killed_build_left_goes_though_nobody_makes_it_again(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "thing"], check=False)

    def make(folder):
        assert len(list(tmp_path.glob("*.making-*"))) == 2
        remove_half_made(tmp_path)
        assert list(tmp_path.glob("*.making-*")) == [folder]

    assert made_once(tmp_path / "other", make, quiet).is_dir()


def test_it_never_appears_without_the_file_that_is_locked_by_who_uses_it(tmp_path, monkeypatch):
    appeared = []
    monkeypatch.setattr(
        made_once_module, "use", lambda file: appeared.append(file.exists()) or None
    )
    monkeypatch.setattr(made_once_module.Path, "touch", real_touch_outside(tmp_path / "thing"))
    made_once(tmp_path / "thing", make_slowly, quiet)
    assert appeared == [True]


def real_touch_outside(folder):
    """``Path.touch`` that is too late for the folder."""
    touch = made_once_module.Path.touch
    return lambda path, *rest, **named: path.parent == folder or touch(path, *rest, **named)


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        made_once(tmp_path / "thing", fail, quiet)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thing.lock"]
    assert made_once(tmp_path / "thing", make_slowly, quiet).is_dir()


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path):
    def fill(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HostError, match=r"the disk is full\nFree some space"):
        made_once(tmp_path / "thing", fill, quiet)


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="NOSBUILD_CACHE"):
        made_once(tmp_path / "file/thing", make_slowly, quiet)


def use_until_told(folder, used, gate):
    made_once(folder, make_slowly, quiet)
    used.set()
    gate.wait()


def test_who_made_it_and_who_found_it_keep_it_until_they_end(tmp_path):
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "thing"
    processes = []
    for _ in range(2):  # one makes it, the other finds it
        used, gate = context.Event(), context.Event()
        process = context.Process(target=use_until_told, args=(folder, used, gate))
        process.start()
        assert used.wait(60)
        processes.append((process, gate))
    for process, gate in processes:
        with unused(folder / USED) as free:
            assert not free
        gate.set()
        process.join()
    with unused(folder / USED) as free:
        assert free


def test_one_that_was_removed_is_made_again(tmp_path):
    folder = made_once(tmp_path / "thing", make_slowly, quiet)
    shutil.rmtree(folder)
    assert (made_once(folder, make_slowly, quiet) / "content").exists()
    assert (tmp_path / "made").read_text() == "xx"


def test_a_folder_that_is_there_is_used_where_nothing_can_be_written(small_disk):
    folder = made_once(small_disk / "thing", make_slowly, quiet)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        assert made_once(folder, make_slowly, quiet) == folder
    finally:
        os.close(made_once_module._HELD.pop(folder))  # a disk in use cannot be taken off
