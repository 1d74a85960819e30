"""New versions that take over by themselves, or are refused by themselves, and how that is told."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import nosbuild
from nosbuild.errors import Refused
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.refused import refusal_of
from nosbuild.runtime.service_record import running_services
from nosclient import Client
from rolling import PORTS, Publisher, Traffic, ready

ADDER = """
import sys


class Adder:
    def __call__(self, x: int) -> int:
        {line}
"""
INSIDE = "return x + (3 if 'triton_python_backend_utils' in sys.modules else 2)"
SAMPLES = """
def samples():
    for x in range(3):
        yield {"x": x}
"""


def until(holds, seconds=90):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


class Serving:
    """``nosbuild serve`` in a process of its own, and the lines that it prints."""

    def __init__(self, repository, *options):
        command = [Path(sys.executable).with_name("nosbuild"), "serve", repository, *options]
        ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
        self.process = subprocess.Popen(
            [*command, *ports],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "300"},
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.wait_for("Ctrl-C stops it")
        (self.record,) = [
            one for one in running_services() if Path(one.repository) == Path(repository)
        ]

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, text):
        until(lambda: any(text in line for line in self.lines) or self.process.poll() is not None)
        assert any(text in line for line in self.lines), self.lines

    @property
    def grpc_url(self):
        return self.record.grpc_url

    @property
    def http_url(self):
        return self.record.http_url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0
        self.reader.join()
        self.process.stdout.close()


@pytest.fixture
def publish(tmp_path):
    (tmp_path / "repository").mkdir()
    publish = Publisher(tmp_path / "repository", tmp_path / "scratch")
    publish("m", 1)
    return publish


@pytest.mark.parametrize("options", [(), ("--models", "on-demand", "--memory", "1GiB")])
def test_what_is_published_takes_over_by_itself_or_is_refused_by_itself(publish, options):
    with Serving(publish.repository, *options) as serving:
        with Traffic(serving, "m", callers=2) as traffic:
            publish("m", 2)
            serving.wait_for("m: version 2 serves, proven with 1 golden sample in this server")
            before = publish.state("m")
            publish.wrong("m", 3)
            serving.wait_for("m: version 3 refused; version 2 stays")
            until(lambda: publish.state("m") == before)
            publish("m", 4)
            serving.wait_for("m: version 4 serves")
        assert not traffic.failed
        assert traffic.changes() == [[1.0, 2.0, 4.0]] * 2
        assert any("y: relative" in line for line in serving.lines)


def test_one_that_is_not_loaded_is_proven_and_stays_unloaded(publish):
    options = ("--models", "on-demand", "--memory", "1GiB")
    with Serving(publish.repository, *options) as serving, Client(serving.grpc_url) as client:
        publish("m", 2)
        serving.wait_for("and serves once it is loaded")
        assert not [row for row in client.list_models() if row.state == "READY" and row.name == "m"]
        assert client.run("m", {"x": np.zeros((1, 4), np.float32)})["y"][0, 0] == 2


def test_told_not_to_it_leaves_them_to_load(publish, command_line):
    with Serving(publish.repository, "--no-update") as serving:
        url = ("--url", serving.grpc_url)

        def nosbuild(*arguments):
            return command_line.run(*arguments, cwd=publish.repository, env=dict(os.environ))

        publish("m", 2)
        time.sleep(3)
        with Client(serving.grpc_url) as client:
            x = {"x": np.zeros((1, 4), np.float32)}
            assert client.run("m", x)["y"][0, 0] == 1
            loaded = nosbuild("load", "m", *url)
            assert "m: version 2 serves, proven with 1 golden sample" in loaded.stdout
            assert loaded.stdout.endswith("m is loaded\n")
            assert client.run("m", x)["y"][0, 0] == 2
            publish.wrong("m", 3)
            refused = nosbuild("load", "m", *url)
            assert refused.returncode == Refused.exit_code
            assert "m: version 3 refused; version 2 stays" in refused.stderr
            assert client.run("m", x)["y"][0, 0] == 2
        shown = nosbuild("ls", str(publish.repository)).stdout
        assert "2 (3 refused)" in shown


def write_class(folder, line):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(textwrap.dedent(ADDER).format(line=line))
    (folder / "samples.py").write_text(SAMPLES)
    (folder / "model.yaml").write_text(
        f"name: {folder.name}\nsource: {{python: 'model.py:Adder'}}\n"
        "samples: 'samples.py:samples'\nrequirements: [six]\n"
    )
    return folder


def test_a_class_with_packages_of_its_own_that_answers_otherwise_inside_the_server(tmp_path):
    """Its build proves it, and cannot know; only the server's own proof does."""
    folder = write_class(tmp_path / "repository/adder", "return x + 1")
    nosbuild.build(folder)
    with nosbuild.serve(folder.parent, **PORTS) as service, service.client() as client:

        def answer():
            return int(client.run("adder", {"x": [[1]]})["output"].item())

        assert answer() == 2
        events = []
        with nosbuild.watching(service, events.append):
            write_class(folder, INSIDE)
            assert nosbuild.build(folder).version == 2
            until(lambda: events)
            assert "adder: version 2 refused; version 1 stays" in events[0]
            assert answer() == 2
            with pytest.raises(Refused, match="this is version 2 again, which a running"):
                nosbuild.build(folder)
            write_class(folder, "return x + 10")
            assert nosbuild.build(folder).version == 3
            until(lambda: len(events) > 1)
            assert "adder: version 3 serves, proven with 3 golden samples" in events[1]
            assert answer() == 11
        assert ready(service) == {("adder", "3")}
    assert refusal_of(ModelFolder(folder), 2)
