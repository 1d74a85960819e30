"""Orders for a user's class go in; its own Python, in a process beside us, answers them.

The user's packages, and the numpy that Triton's Python backend needs, are not this process's: the
class lives in a worker (``inside_triton/python_model/worker.py``) that runs in the model's
environment and talks over pipes.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from nosbuild.errors import NosError, Refused
from nosbuild.inside_triton.python_model.nos_python_model import wire

if TYPE_CHECKING:
    from nosbuild.environments.model_environment import Environment
    from nosbuild.source.loaded import Arrays

WORKER = Path(__file__).parents[1] / "inside_triton/python_model/worker.py"
"""Runs in the model's Python; beside it lies what a version folder needs."""

_END_SECONDS = 10.0

_read: Callable[[Any], dict[str, Any]] = wire.read_message
_write: Callable[[Any, dict[str, Any]], None] = wire.write_message


class ModelCalls(Protocol):
    """Answers the calls of other models that a class makes while it is built."""

    def __call__(self, name: str, inputs: Arrays) -> Arrays | list[Arrays]:
        """The outputs, as Triton carries them; of a model that streams, of every chunk."""
        ...


class Raised(Exception):
    """What the user's code raised.

    Attributes:
        type: name of its class.
        message: what it says.
        where: ``model.py:12``; empty where the user's code is not at fault.
        traceback: of the worker.
    """

    def __init__(self, told: Mapping[str, str]) -> None:
        """``told``: as the worker says it."""
        self.type, self.message, self.where = told["type"], told["message"], told["where"]
        self.traceback = told.get("traceback", "")
        what = f"{self.type}: {self.message}" if self.message else self.type
        super().__init__(f"{what} ({self.where})" if self.where else what)


class PythonWorker:
    """A process in a model's environment; a context manager, ends at the latest with us."""

    def __init__(
        self, folder: Path, environment: Environment, calls: ModelCalls | None = None
    ) -> None:
        """Start it.

        Args:
            folder: laid out as a version folder.
            environment: whose Python it is.
            calls: answers the class's calls of other models; None where it makes none.
        """
        self._calls = calls
        self._process = subprocess.Popen(
            [str(environment.python), "-I", str(WORKER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment.variables(),
        )

    @property
    def pid(self) -> int:
        """Of the class's process."""
        return self._process.pid

    def ask(self, what: str, **order: Any) -> Any:
        """The answer to one order.

        Raises:
            Raised: the user's code did.
            Refused: the process ended.
        """
        try:
            self._send({"do": what, **order})
            while "ask" in (answer := _read(self._process.stdout)):
                self._send(self._called(answer["name"], answer["inputs"]))
        except (EOFError, BrokenPipeError) as exc:
            raise Refused(
                f"the class's own process {self._ending()}",
                "Look for what ends a process in the class, or in the packages that it uses.",
            ) from exc
        if "error" in answer:
            raise Raised(answer["error"])
        return answer["ok"]

    def close(self) -> None:
        """End it; again is harmless. What the class's ``close()`` raises is raised.

        Raises:
            Raised, Refused: as ``ask``.
        """
        if self._process.poll() is not None:
            return
        try:
            self.ask("close")
        finally:
            self.end()

    def __enter__(self) -> PythonWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.end()

    def _send(self, message: dict[str, Any]) -> None:
        _write(self._process.stdin, message)

    def _called(self, name: str, inputs: Arrays) -> dict[str, Any]:
        if self._calls is None:
            return {"failure": "this class was not to call any model (models: in the model.yaml)"}
        try:
            answer = self._calls(name, inputs)
        except NosError as exc:
            return {"failure": exc.message}
        except Exception as exc:  # noqa: BLE001 - the class is told, as Triton would
            return {"failure": f"{type(exc).__name__}: {exc}"}
        return {"outputs": answer} if isinstance(answer, dict) else {"chunks": answer}

    def _ending(self) -> str:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            return "closed its pipes"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return f"ended with exit code {code}"

    def end(self) -> None:
        """End it without a word to the class; again is harmless."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # it is gone already
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
