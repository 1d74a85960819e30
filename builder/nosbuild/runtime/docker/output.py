"""What a container prints goes in; a log file, progress, and the server's own account come out."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nosbuild.runtime.docker.engine import Engine, sdk

_TRITONS = re.compile(r"^([IWEF]\d{4} |[|+]|\s|$)")
"""Lines of Triton's log, of its tables, and what belongs to the line before."""


class ContainerOutput:
    """Copies what the container prints, until it ends or this is closed.

    Standard error (progress, then Triton's log) goes to a file, and to the terminal where that is
    asked for. Standard output is the JSON document of ``nosbuild serve --json``: where it serves,
    or why it does not.
    """

    def __init__(
        self, engine: Engine, container: str, log: Path, verbose: bool, say: Callable[[str], None]
    ) -> None:
        """Begins; the container is there, and need not run yet.

        Args:
            engine: that has it.
            container: its id.
            log: made anew.
            verbose: copy to standard error, too.
            say: told of progress until the document is there.
        """
        self._engine, self._container = engine, container
        self._verbose, self._say = verbose, say
        self._document: dict[str, Any] | None = None
        self._told = threading.Event()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("w", encoding="utf-8")
        self._threads = [
            threading.Thread(target=work, name=f"container-{name}", daemon=True)
            for name, work in (("log", self._copy_log), ("answer", self._read_answer))
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> dict[str, Any] | None:
        """The document, once it is there; None after so many seconds without it."""
        self._told.wait(seconds)
        return self._document

    def close(self, seconds: float = 5.0) -> None:
        """Waits for the rest of a container that has ended. Again is harmless."""
        self._told.set()
        for thread in self._threads:
            thread.join(seconds)
        self._log.close()

    def _lines(self, **stream: bool) -> Iterable[str]:
        """Lines, as they come; the end of the container, or of the engine, ends them."""
        rest = b""
        try:
            for chunk in self._engine.client.api.logs(
                self._container, stream=True, follow=True, **stream
            ):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        except (sdk().errors.DockerException, OSError) as error:
            yield f"nosbuild: the engine tells no more of the container: {error}"
        if rest:
            yield rest.decode(errors="replace")

    def _copy_log(self) -> None:
        for line in self._lines(stdout=False, stderr=True):
            if self._log.closed:
                return
            self._log.write(line + "\n")
            self._log.flush()
            if self._verbose:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            if not self._told.is_set() and not _TRITONS.match(line):
                self._say(line)

    def _read_answer(self) -> None:
        text = ""
        for line in self._lines(stdout=True, stderr=False):
            if line.startswith("{"):  # before it an image may print what it likes
                text = ""
            text += line + "\n"
            if not self._told.is_set() and line.endswith("}"):
                self._understand(text)

    def _understand(self, text: str) -> None:
        try:
            document = json.loads(text)
        except ValueError:
            return  # more is to come, or it is something else
        if isinstance(document, dict):
            self._document = document
            self._told.set()
