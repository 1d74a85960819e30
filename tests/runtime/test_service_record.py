"""How one process finds the services of another."""

import json
import os
import subprocess
import sys

import pytest

from nosbuild.errors import HostError
from nosbuild.runtime.service_record import (
    ServiceRecord,
    running_services,
    services_folder,
    start_time,
    write_record,
)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path))


def record(pid, started):
    return ServiceRecord(pid, started, "/r", "http://h:1", "h:2", "http://h:3/metrics", "/l")


def test_a_running_process_is_found_as_it_was_written():
    written = record(os.getpid(), start_time(os.getpid()))
    write_record(written)
    assert running_services() == [written]


def test_a_service_of_another_nosbuild_is_found_and_stays():
    written = record(os.getpid(), start_time(os.getpid()))
    write_record(written)
    (file,) = services_folder().iterdir()
    told = json.loads(file.read_text())
    assert "container" not in told, "an earlier nosbuild would take it for no record"
    file.write_text(json.dumps({**told, "cluster": "of a later one"}))
    assert running_services() == [written]
    assert file.exists()


def test_an_ended_process_is_dropped():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_record(record(ended.pid, 1.0))
    assert running_services() == []
    assert not list(services_folder().iterdir())


def test_another_process_with_the_same_pid_is_not_taken_for_it():
    write_record(record(os.getpid(), start_time(os.getpid()) - 3600))
    assert running_services() == []


def test_a_file_that_is_no_record_is_dropped():
    services_folder().mkdir(parents=True)
    (services_folder() / "1.json").write_text('{"version": 9}')
    assert running_services() == []
    assert not list(services_folder().iterdir())


def test_a_cache_that_cannot_be_written_is_told(small_disk, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(small_disk))
    (small_disk / "services").mkdir()
    (small_disk / "services/1.json").write_text("of another nosbuild")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert running_services() == []
    with pytest.raises(HostError, match="read-only"):
        write_record(record(os.getpid(), 1.0))
