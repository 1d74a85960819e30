"""An engine of processes: it speaks the part of Docker's interface that nosbuild uses.

Every answer has the form, and every refusal the words, of Docker's engine
(https://docs.docker.com/reference/api/engine/version/v1.47/); but what it starts is no container:
``nosbuild serve`` on the folder that is mounted, at the ports that are published. So everything
above the engine is real: the docker SDK, nosbuild, Triton.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = "1.47"
_NOW = "2026-11-27T12:00:00.123456789Z"


@dataclass
class ProcessContainer:
    """What the engine knows of one."""

    id: str
    name: str
    body: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    removed: bool = False
    oom: bool = False
    folder: Path = Path()

    def state(self) -> dict[str, Any]:
        running = self.process is not None and self.process.poll() is None
        status = "created" if self.process is None else "running" if running else "exited"
        began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.started))
        fraction = f"{self.started % 1:.9f}"[1:]
        return {
            "Status": status,
            "Running": running,
            "OOMKilled": self.oom,
            "Pid": self.process.pid if self.process and running else 0,
            "ExitCode": self.process.returncode or 0 if self.process else 0,
            "StartedAt": f"{began}{fraction}Z",
        }

    def attributes(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.body["Image"],
            "State": self.state(),
            "Config": {"Tty": False, "Labels": self.body.get("Labels") or {}},
            "HostConfig": self.body["HostConfig"],
        }


@dataclass
class MiniEngine:
    """The engine, its images, its containers, and what it shall refuse."""

    socket: Path
    folder: Path
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> Config of the image."""
    containers: dict[str, ProcessContainer] = field(default_factory=dict)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Part of ``METHOD path`` -> status and message, as Docker says them."""
    pulls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Image -> what a pull of it tells; it is there afterwards unless that ends in an error."""
    info: dict[str, Any] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    """What a container runs in place of nosbuild serve, if anything."""
    asked: list[str] = field(default_factory=list)
    built: list[bytes] = field(default_factory=list)
    """The tar files that were sent to be built."""

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def remote_url(self) -> str:
        """As the engine of another machine is named."""
        return "tcp://{}:{}".format(*self._servers[1].server_address[:2])

    def __enter__(self) -> MiniEngine:
        engine = self

        class Handler(_Handler):
            the_engine = engine

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        class Remote(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._servers = [Server(str(self.socket), Handler), Remote(("127.0.0.1", 0), Handler)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.containers.values():
            self.stop(container, 20)
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add_image(self, name: str, **config: Any) -> None:
        self.images[name] = {"User": "1000:1000", "Env": [], "Labels": {}, **config}

    def start(self, container: ProcessContainer) -> None:
        host = container.body["HostConfig"]
        mount = host["Mounts"][0]
        ports = {key: binding[0] for key, binding in host["PortBindings"].items()}
        where = ["--host", ports["8000/tcp"]["HostIp"]]
        for option, inside in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
            where += [f"--{option}-port", ports[f"{inside}/tcp"]["HostPort"]]
        script = "from nosbuild.cli import main; main()"
        command = self.command or [
            sys.executable,
            "-c",
            script,
            "serve",
            mount["Source"],
            *where,
            *container.body["Cmd"],
        ]
        container.folder = self.folder / container.id
        container.folder.mkdir()
        container.started = time.time()
        with (
            (container.folder / "stdout").open("ab") as out,
            (container.folder / "stderr").open("ab") as err,
        ):
            container.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "NOSBUILD_CACHE": os.environ["MINI_ENGINE_CACHE"],
                },
            )

    def stop(self, container: ProcessContainer, seconds: float) -> None:
        process = container.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Handler(BaseHTTPRequestHandler):
    the_engine: MiniEngine
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        path = re.sub(r"^/v[\d.]+", "", unquote(url.path))
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.body = self._read()
        asked = f"{method} {path}"
        self.the_engine.asked.append(asked)
        for sign, (status, message) in self.the_engine.refuses.items():
            if sign in asked:
                self._json({"message": message}, status)
                return
        for pattern, route in _ROUTES:
            if found := re.fullmatch(pattern, asked):
                route(self, *found.groups())
                return
        self._json({"message": f"page not found: {asked}"}, 404)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Api-Version", API)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _lines(self, events: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _frame(self, stream: int, content: bytes) -> None:
        """Docker's multiplexed stream: which one, the length, the content."""
        self.wfile.write(struct.pack(">BxxxL", stream, len(content)) + content)
        self.wfile.flush()

    def _container(self, name: str) -> ProcessContainer | None:
        for container in self.the_engine.containers.values():
            if name in (container.id, container.name) and not container.removed:
                return container
        self._json({"message": f"No such container: {name}"}, 404)
        return None

    # What is asked for.

    def version(self) -> None:
        engine = {"Name": "Engine", "Version": "27.3.1", "Details": {}}
        self._json(
            {
                "Version": "27.3.1",
                "ApiVersion": API,
                "MinAPIVersion": "1.24",
                "Components": [engine],
            }
        )

    def tell_info(self) -> None:
        self._json({"Runtimes": {"runc": {}}, "SecurityOptions": [], **self.the_engine.info})

    def inspect_image(self, name: str) -> None:
        for known, config in self.the_engine.images.items():
            if name in (known, f"sha256:{known}"):
                self._json({"Id": f"sha256:{known}", "Config": config, "Size": 123_000_000})
                return
        self._json({"message": f"No such image: {name}"}, 404)

    def pull(self) -> None:
        name = f"{self.query['fromImage']}:{self.query['tag']}"
        if name not in self.the_engine.pulls:
            self._json(
                {
                    "message": f"pull access denied for {self.query['fromImage']}, repository does "
                    "not exist or may require 'docker login': denied: requested access to the "
                    "resource is denied"
                },
                404,
            )
            return
        events = self.the_engine.pulls[name]
        self._lines(events)
        if "error" not in events[-1]:
            self.the_engine.add_image(name)

    def create(self) -> None:
        name = self.query.get("name", f"eager_{len(self.the_engine.containers)}")
        made = ProcessContainer(os.urandom(32).hex(), name, json.loads(self.body))
        self.the_engine.containers[made.id] = made
        self._json({"Id": made.id, "Warnings": []}, 201)

    def list_containers(self) -> None:
        wanted = json.loads(self.query.get("filters", "{}")).get("label", [])
        rows = [
            {"Id": each.id, "Names": [f"/{each.name}"], "Labels": each.body.get("Labels") or {}}
            for each in self.the_engine.containers.values()
            if not each.removed and set(wanted) <= set(each.body.get("Labels") or {})
        ]
        self._json(rows)

    def inspect(self, name: str) -> None:
        if container := self._container(name):
            self._json(container.attributes())

    def start(self, name: str) -> None:
        if container := self._container(name):
            self.the_engine.start(container)
            self._json(None, 204)

    def stop(self, name: str) -> None:
        if container := self._container(name):
            self.the_engine.stop(container, float(self.query.get("t", 10)))
            self._json(None, 204)

    def remove(self, name: str) -> None:
        if container := self._container(name):
            self.the_engine.stop(container, 0.0)
            container.removed = True
            self._json(None, 204)

    def wait(self, name: str) -> None:
        if (container := self._container(name)) and container.process:
            code = container.process.wait()
            self._json({"StatusCode": code if code >= 0 else 128 - code})

    def logs(self, name: str) -> None:
        container = self._container(name)
        if container is None:
            return
        self._begin("application/vnd.docker.multiplexed-stream")
        number = 1 if self.query.get("stdout") in ("1", "True", "true") else 2
        process = container.process
        assert process is not None
        with (container.folder / ("stdout" if number == 1 else "stderr")).open("rb") as file:
            while True:
                ended = process.poll() is not None
                if content := file.read():
                    self._frame(number, content)
                elif ended:
                    return
                else:
                    time.sleep(0.05)

    def make_exec(self, name: str) -> None:
        if container := self._container(name):
            self._json({"Id": f"{container.id}.{json.loads(self.body)['Cmd'][-1]}"}, 201)

    def run_exec(self, number: str) -> None:
        container, _, model = number.partition(".")
        mount = self.the_engine.containers[container].body["HostConfig"]["Mounts"][0]
        script = "from nosbuild.cli import main; main()"
        # First, as engines do: who reads the headers must not have read a part of the answer.
        self._begin("application/vnd.docker.multiplexed-stream")
        ran = subprocess.run(
            [sys.executable, "-c", script, "load", model],
            cwd=mount["Source"],
            env={**os.environ, "NOSBUILD_CACHE": os.environ["MINI_ENGINE_CACHE"]},
            capture_output=True,
            check=False,
        )
        self.the_engine.info["exec"] = ran.returncode
        for stream, content in ((1, ran.stdout), (2, ran.stderr)):
            if content:
                self._frame(stream, content)

    def inspect_exec(self, number: str) -> None:
        code = self.the_engine.info["exec"]
        self._json({"ID": number, "ExitCode": code, "ProcessConfig": {"tty": False}})

    def build(self) -> None:
        self.the_engine.built.append(self.body)
        self.the_engine.add_image(self.query["t"], Labels=json.loads(self.query["labels"]))
        steps = ["Step 1/2 : FROM base", "Step 2/2 : COPY models /models", "Successfully built 1"]
        self._lines([{"stream": f"{step}\n"} for step in steps])


_ROUTES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"GET /version", _Handler.version),
    (r"GET /info", _Handler.tell_info),
    (r"GET /images/(.+)/json", _Handler.inspect_image),
    (r"POST /images/create", _Handler.pull),
    (r"POST /containers/create", _Handler.create),
    (r"GET /containers/json", _Handler.list_containers),
    (r"GET /containers/([^/]+)/json", _Handler.inspect),
    (r"POST /containers/([^/]+)/start", _Handler.start),
    (r"POST /containers/([^/]+)/stop", _Handler.stop),
    (r"POST /containers/([^/]+)/wait", _Handler.wait),
    (r"DELETE /containers/([^/]+)", _Handler.remove),
    (r"GET /containers/([^/]+)/logs", _Handler.logs),
    (r"POST /containers/([^/]+)/exec", _Handler.make_exec),
    (r"POST /exec/([^/]+)/start", _Handler.run_exec),
    (r"GET /exec/([^/]+)/json", _Handler.inspect_exec),
    (r"POST /build", _Handler.build),
)
