"""Environments made by the real pip: once, whole, and only from what was locked."""

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from nosbuild.environments.interpreters import SUPPORTED, find_interpreter
from nosbuild.environments.model_environment import (
    environment_folder,
    model_environment,
    read_lock_of,
    resolve,
)
from nosbuild.errors import HostError, InputError


def make(locked):
    said = []
    return model_environment(locked, said.append), said


def output(environment, code):
    done = subprocess.run(
        [environment.python, "-I", "-c", code],
        env=environment.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def tampered(locked, **changes):
    packages = tuple(dataclasses.replace(each, **changes) for each in locked.packages)
    return dataclasses.replace(locked, packages=packages)


def test_the_same_lock_twice_is_made_once_and_holds_what_was_locked(cache, six_and_numpy):
    environment, said = make(six_and_numpy)
    assert "six 1.16.0" in said[0]
    assert environment.folder == cache / "environments" / six_and_numpy.key
    assert output(environment, "import numpy, six; print(six.__version__, numpy.__version__)") == (
        f"1.16.0 {six_and_numpy.version('numpy')}"
    )
    assert make(six_and_numpy) == (environment, [])
    assert read_lock_of(environment.folder) == six_and_numpy
    # What it compiles lies in the cache: environments are shared, and versions are immutable.
    assert output(environment, "import sys; print(sys.pycache_prefix)") == str(cache / "pycache")
    assert not list(environment.site_packages.glob("__pycache__/six*"))
    # The folder was renamed after pip had written its scripts.
    script = subprocess.run(
        ["bash", "-c", f". {environment.folder}/bin/activate && f2py -v"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert script.stdout.strip() == six_and_numpy.version("numpy")


def make_in_a_process(locked, answers):
    environment, said = make(locked)
    answers.put((str(environment.folder), said))


def test_two_processes_at_the_same_moment_make_one(cache, six):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=make_in_a_process, args=(six, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert {folder for folder, _ in told} == {str(environment_folder(six))}
    assert sum("Making" in line for _, said in told for line in said) == 1


KILLED = """
import json, os, signal, sys
from nosbuild.environments import model_environment as room
from nosbuild.environments.locked import LockedEnvironment

def kill_in_the_middle(arguments, **options):
    kill = lambda line: "Installing" in line and os.kill(os.getpid(), signal.SIGKILL)
    real(arguments, **{**options, "on_line": kill})

real, room.run_pip = room.run_pip, kill_in_the_middle
locked = LockedEnvironment.from_json(json.loads(sys.argv[1]), "test")
room.model_environment(locked, print)
"""


def test_one_killed_in_the_middle_leaves_nothing_that_is_used(cache, six, tmp_path):
    command = [sys.executable, "-c", KILLED, json.dumps(six.as_json())]
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    killed = subprocess.run(command, check=False, env={**os.environ, "TMPDIR": str(elsewhere)})
    assert killed.returncode == -signal.SIGKILL
    (half,) = (cache / "environments").glob(f"{six.key}.making-*")
    assert (half / "bin").is_dir(), "nothing was begun; nothing was tested"
    assert not environment_folder(six).exists()
    while any(str(half) in " ".join(cmd) for cmd in commands()):
        time.sleep(0.05)  # pip ends with the process that ran it
    environment, _ = make(six)
    assert output(environment, "import six; print(six.__version__)") == "1.16.0"
    assert not list((cache / "environments").glob("*.making-*"))
    # Neither of what pip had unpacked.
    assert not list((cache / "environments").glob(".scratch-*"))
    assert not list(elsewhere.iterdir())


def commands():
    for process in psutil.process_iter(["cmdline"]):
        yield process.info["cmdline"] or []


def test_a_file_that_is_not_the_one_that_was_locked_is_refused(cache, six):
    other = tampered(six, sha256s=("0" * 64,))
    with pytest.raises(InputError, match="DO NOT MATCH THE HASHES") as caught:
        make(other)
    assert "six" in caught.value.message
    assert not environment_folder(other).exists()


def test_a_version_that_is_gone_from_the_index_is_told_in_pips_words(cache, six):
    with pytest.raises(InputError, match=r"No matching distribution found for six==1\.16\.99"):
        make(tampered(six, version="1.16.99"))


def test_settings_of_pip_that_would_send_packages_elsewhere(cache, six, tmp_path, monkeypatch):
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nrequire-virtualenv = true\n[install]\nuser = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    locked = resolve(["six==1.16.0"], on_progress=print)
    assert locked.version("six") == "1.16.0"
    environment, _ = make(six)
    assert (environment.site_packages / "six.py").is_file()


def test_a_full_disk_is_told_as_such_and_leaves_nothing(six_and_numpy, small_disk, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(small_disk))
    with pytest.raises(HostError, match="No space left on device") as caught:
        make(six_and_numpy)
    assert "Free some space" in caught.value.remedy
    assert [each.suffix for each in (small_disk / "environments").iterdir()] == [".lock"]


def test_locks_that_cannot_be_made_here(cache, six, six_and_numpy, monkeypatch):
    with pytest.raises(HostError, match="locked for linux-riscv64"):
        make(dataclasses.replace(six, platform="linux-riscv64"))
    with pytest.raises(InputError, match="corrupted tensors"):
        make(tampered(six_and_numpy, version="2.1.0"))
    monkeypatch.setenv("NOSBUILD_CACHE", str(cache / "of mine"))
    with pytest.raises(HostError, match="has a blank in its path"):
        make(six)


def test_one_whose_python_is_gone_is_made_again(cache, six):
    environment, _ = make(six)
    python = environment.folder / "bin" / f"python{six.python}"
    for link in (environment.python, python):
        link.unlink()
        link.symlink_to("/nowhere/python3")
    os.close(release(environment.folder))
    again, said = make(six)
    assert said[0] == f"Removing {six.key}, whose Python is gone"
    assert output(again, "import six; print(six.__version__)") == "1.16.0"


def release(folder):
    """As if the process that used it had ended."""
    from nosbuild.environments import made_once

    return made_once._HELD.pop(folder)


def test_another_python_than_the_running_one(cache):
    minor = next((m for m in SUPPORTED if m != sys.version_info[:2] and has(m)), None)
    if minor is None:
        pytest.skip("this machine has one Python only")
    wanted = "{}.{}".format(*minor)
    locked = resolve([], python=wanted, on_progress=print)
    environment, _ = make(locked)
    code = "import sys, numpy; print('{}.{}'.format(*sys.version_info), numpy.__version__[:5])"
    assert output(environment, code) == f"{wanted} 1.26."
    assert (environment.folder / "lib" / f"libpython{wanted}.so.1.0").is_file()


def has(minor):
    try:
        return find_interpreter(minor)
    except HostError:
        return None


def test_packages_of_the_interpreter_itself_are_seen_where_asked(cache, six):
    code = (
        "import sys; theirs = [p for p in sys.path if p.startswith(sys.base_prefix)]; "
        "print(any('packages' in p for p in theirs))"
    )
    assert output(make(six)[0], code) == "False"
    assert output(make(dataclasses.replace(six, system_site=True))[0], code) == "True"
