"""Images built and run by Debian's buildah, where there is no Docker: in a chroot, as root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

PROJECT = Path(__file__).resolve().parents[2]
BASE = "localhost/nosbuild-test-base:bookworm"
IMAGE = "localhost/nosbuild/server:test"
_SETTINGS_OF_APT = ("sources.list", "sources.list.d", "apt.conf.d")
_NOT_IN_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


def missing() -> str:
    """What this machine lacks to build images; empty where it can."""
    if os.getuid() != 0:
        return "buildah's chroot isolation needs root"
    for program in ("buildah", "debootstrap"):
        if not shutil.which(program):
            return f"{program} is not installed (Debian: apt install buildah debootstrap)"
    return ""


def buildah(*arguments: str, check: bool = True) -> str:
    """Its standard output; fails with all that it said."""
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"buildah {arguments}:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def make_base() -> None:
    """Debian 12 as small as its image on Docker Hub; made once, and kept by buildah."""
    if buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", str(root)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for place in _NOT_IN_SLIM:
            shutil.rmtree(root / place)
            (root / place).mkdir()
        for place in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / place)
            (root / place).mkdir()
        # Where this machine finds Debian's packages, the build does, too.
        for name in _SETTINGS_OF_APT:
            ours, theirs = Path("/etc/apt") / name, root / "etc/apt" / name
            if not ours.exists():
                theirs.unlink() if theirs.is_file() else shutil.rmtree(theirs, ignore_errors=True)
            elif ours.is_file():
                shutil.copy(ours, theirs)
            else:
                shutil.rmtree(theirs, ignore_errors=True)
                wanted = shutil.ignore_patterns("*disabled*", "*appstream*", "*packagekit*")
                shutil.copytree(ours, theirs, ignore=wanted)
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, str(root), "/")
        buildah("config", "--cmd", "bash", container)
        buildah("commit", "--quiet", "--rm", container, BASE)


def build(dockerfile: str, tag: str) -> str:
    """Build one of docker/; what was said. Layers that did not change are taken from before."""
    with tempfile.TemporaryDirectory() as folder:
        secret, volumes = _pip_settings(Path(folder))
        return buildah(
            "bud",
            *("--isolation", "chroot", "--network", "host", "--format", "docker", "--layers"),
            "--force-rm",  # what a failed build has made, too
            *("--secret", f"id=pip,src={secret}", *volumes),
            *("--build-arg", f"BASE={BASE}", "--build-arg", "REVISION=test"),
            *("--file", str(PROJECT / dockerfile), "--tag", tag, str(PROJECT)),
        )


def _pip_settings(folder: Path) -> tuple[Path, list[str]]:
    """This machine's settings of pip as one file, and the folders that they name as volumes."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    volumes: list[str] = []
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        value = value.strip("'").replace("\\n", " ")
        if section not in ("global", ":env:") or name in ("config-file", "require-virtualenv"):
            continue
        for word in value.split():
            path = word.removeprefix("file://")
            if path.startswith("/") and Path(path).exists():
                if Path(path).is_file():  # the image's own may be written at that place
                    inside = f"/var/tmp/pip-settings{path}"
                    value = value.replace(path, inside)
                    volumes += ["--volume", f"{path}:{inside}:ro"]
                else:  # an index in files, whose pages may lead to what stands beside it
                    folder_of_all = path if not path.endswith("/simple") else str(Path(path).parent)
                    volumes += ["--volume", f"{folder_of_all}:{folder_of_all}:ro"]
        settings[name] = value
    file = folder / "pip.conf"
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    file.write_text("[global]\n" + "".join(lines))
    pairs = dict.fromkeys(volumes[1::2])
    return file, [option for volume in pairs for option in ("--volume", volume)]


@dataclass
class Container:
    """One that is made from the image; commands run in it as the image's user."""

    name: str
    root: Path
    """Its files, as they are seen here."""

    def run(
        self, *command: str, models: Path | None = None, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        line = self._line(command, models, variables)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done

    def _line(
        self, command: tuple[str, ...], models: Path | None, variables: dict[str, str]
    ) -> list[str]:
        options = [f"--env={name}={value}" for name, value in variables.items()]
        if models:
            options.append(f"--volume={models}:/models:ro")
        return ["buildah", "run", "--isolation", "chroot", *options, self.name, "--", *command]

    @contextmanager
    def serving(self, models: Path, *arguments: str, **variables: str) -> Iterator[Served]:
        """The image's entry point on a repository, mounted read-only, until it is ready."""
        http, grpc, metrics = free_ports()
        # No network of its own in a chroot, so the ports are not the container's own.
        ports = ("--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics))
        line = self._line((*entry_point(), *ports, *arguments), models, variables)
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(line, stdout=log, stderr=log, text=True)
            served = Served(self, process, http, grpc, metrics, log)
            try:
                served.wait_until_ready()
                yield served
            finally:
                if process.poll() is None:
                    served.stop()


@dataclass
class Served:
    container: Container
    process: subprocess.Popen[str]
    http: int
    grpc: int
    metrics: int
    _log: TextIO

    @property
    def log(self) -> str:
        """What ``docker logs`` would show."""
        self._log.seek(0)
        return self._log.read()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log
            if self.container.run("nosbuild-ready", check=False).returncode == 0:
                return
            time.sleep(0.5)
        raise AssertionError(f"it did not get ready:\n{self.log}")

    def init(self) -> psutil.Process:
        """The process that Docker would start, and send SIGTERM to."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if process.name() == "tini":
                return process
        raise AssertionError(f"nothing runs in the container:\n{self.log}")

    def processes(self) -> list[psutil.Process]:
        return [self.init(), *self.init().children(recursive=True)]

    def stop(self) -> int:
        """As ``docker stop`` does; the exit code."""
        self.init().send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def scrape(self) -> str:
        """Its metrics, as Prometheus reads them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            return answer.read().decode()


@contextmanager
def container_of(image: str) -> Iterator[Container]:
    name = buildah("from", image)
    try:
        yield Container(name, Path(buildah("mount", name)))
    finally:
        buildah("rm", name)


def config_of(image: str) -> dict:
    """The image's configuration, as Docker writes it."""
    return json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]


def entry_point() -> tuple[str, ...]:
    return tuple(config_of(IMAGE)["Entrypoint"])


def free_ports() -> tuple[int, int, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = tuple(one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    return ports
