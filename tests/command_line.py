"""The command line, run often: each time in a process of its own, which need not import anew.

A process that has imported what most commands need, and has run nothing, forks for each of them:
that saves the half second that the imports take. What is run then, and how it ends, is the same;
the script ``nosbuild`` itself is run by the tests of --version and of the wheels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("nosbuild")


class CommandLine:
    """The process that forks; as a context, it ends with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> CommandLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, *arguments: str, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` does, with the output as text."""
        command = [str(SCRIPT), *arguments]
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("out", "err")]
            told = {"command": command, "cwd": str(cwd), "env": dict(env)}
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps({**told, "files": [*map(str, files)]}), file=self._process.stdin)
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = (file.read_text(encoding="utf-8") for file in files)
        return subprocess.CompletedProcess(command, code, out, err)


def _serve() -> dict[str, Any]:
    """Fork for each order that is read; the order is returned in the child alone."""
    import numpy  # noqa: F401
    import tritonclient.grpc  # noqa: F401

    import nosclient  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            order: dict[str, Any] = json.loads(line)
            return order
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _become(order: dict[str, Any]) -> None:
    """This process as the shell would have started it, with the output in files."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    for stream, file in zip((1, 2), order["files"], strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = order["command"]


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    _become(_serve())
    from nosbuild.cli import main

    main()
