"""A running Triton and everything its owner may want of it, wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nosbuild.errors import HostError, RepositoryError, RequestError
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes
from nosbuild.runtime.control import ControlRefused, TritonControl
from nosbuild.runtime.model_manager import MODEL_MANAGER, ask_manager, told_by_manager
from nosbuild.runtime.ports import ChosenPorts
from nosbuild.runtime.restrictions import Restrictions
from nosbuild.runtime.server_log import LogEcho, last_lines

if TYPE_CHECKING:
    import nosclient

LOAD_SECONDS = 300.0
"""What a model may take to load, unless told otherwise."""


@dataclass(repr=False)
class InferenceService(ABC):
    """A running Triton Inference Server; a context manager that stops it.

    It also stops, and leaves nothing behind, when the process that started it ends in any way
    (a container with ``detach`` does not).
    """

    repository: Path
    host: str
    """The address clients on this machine use."""
    ports: ChosenPorts
    log_file: Path
    failures: Mapping[str, str] = field(default_factory=dict)
    """Model -> why it did not load; empty unless the service was told to keep going."""
    echo: LogEcho | None = None
    is_on_demand: bool = False
    """Models are loaded when they are asked for, by a model manager."""
    too_large: Mapping[str, Sizes] = field(default_factory=dict)
    """Of these: model -> what it needs, where that is more than the whole budget."""
    restrictions: Restrictions = field(default_factory=Restrictions)
    """Of its APIs, by ``triton_options``, and where models are loaded on demand."""

    def __repr__(self) -> str:
        """Two lines: where it answers, and what it serves."""
        state = f"process {self.pid}" if self.is_running else "ended"
        return (
            f"<InferenceService on {self.grpc_url} (gRPC) and {self.http_url}: {state}\n"
            f" of {self.repository}, log {self.log_file}>"
        )

    @property
    def http_url(self) -> str:
        """``http://127.0.0.1:8000``, for HTTP clients."""
        return f"http://{self.host}:{self.ports.http}"

    @property
    def grpc_url(self) -> str:
        """``127.0.0.1:8001``, for gRPC clients."""
        return f"{self.host}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        """``http://127.0.0.1:8002/metrics``, in Prometheus' text format."""
        return f"http://{self.host}:{self.ports.metrics}/metrics"

    @property
    @abstractmethod
    def pid(self) -> int:
        """Triton's process on this machine; of a container its first one, 0 where the engine has
        it on another.
        """

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """False once the server has ended."""

    def client(self, **options: Any) -> nosclient.Client:
        """A client of this service over gRPC; close it, or use it in a ``with``.

        ``options`` are those of ``nosclient.Client``; keys of restricted APIs need not be among
        them.
        """
        from nosclient import Client

        options.setdefault("restricted_keys", self.restrictions.grpc_keys_for(self.host))
        return Client(self.grpc_url, **options)

    def models(self) -> list[str]:
        """Names of the models that are loaded and ready, sorted; without the model manager."""
        with self._answered():
            index = self.control.index()
        ready = {entry.name for entry in index if entry.state == "READY"}
        return sorted(ready - {MODEL_MANAGER} if self.is_on_demand else ready)

    @abstractmethod
    def load_model(
        self,
        name: str,
        timeout: float = LOAD_SECONDS,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Loads a model of the repository, or its newest version again.

        A new version of a model that is served is loaded beside the old one, under another name,
        and proven with its golden samples; then it takes over, and no request is lost. One that
        fails never answers a request for the model, and config.pbtxt goes back to the old one.

        A model that is loaded, but of which a worker process has ended, is unloaded first. Where
        models are loaded on demand, the model manager loads it, and makes room if need be.

        Args:
            name: the model.
            timeout: seconds it may take to load.
            on_progress: told what is installed for it, one line at a time.

        Raises:
            Refused: its new version was not proven.
            RepositoryError: it is not there or not built, does not load, or is not what was
                proven; the message says why.
            RequestError: there is no room for it in the budget of a server on demand.
            HostError: what it runs in cannot be made on this machine.
        """

    def unload_model(self, name: str, timeout: float = LOAD_SECONDS) -> None:
        """Unloads a model once its requests in flight are answered.

        Raises:
            RequestError: it is not loaded; on demand: it is pinned, or others call it.
            HostError: the server does not answer.
        """
        if name not in self.models():
            raise RequestError(
                f"model {name!r} is not loaded", f"Loaded are: {', '.join(self.models()) or '-'}"
            )
        if self.is_on_demand:
            with self._managed() as client:
                ask_manager(client, "release", model=name, timeout=timeout)
            return
        with self._answered():
            self.control.unload(name, timeout)

    @contextmanager
    def _managed(self) -> Iterator[nosclient.Client]:
        """A client for the model manager, whose refusals become errors of the tree."""
        from nosclient import InferenceFailed, NosClientError, ServerUnavailable

        with self.client() as client:
            try:
                yield client
            except InferenceFailed as error:
                remedy = f"Triton's log: {self.log_file}"
                raise RepositoryError(told_by_manager(error.message), remedy) from error
            except ServerUnavailable as error:
                raise HostError(error.message, f"Its log is {self.log_file}.") from error
            except NosClientError as error:
                raise RequestError(
                    error.message, "nosbuild status shows what is loaded."
                ) from error

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Turns a control call's failure into an error of the tree."""
        try:
            yield
        except ControlRefused as refused:
            raise RequestError(refused.reason, f"Triton's log: {self.log_file}") from refused
        except OSError as error:
            raise HostError(
                f"the server at {self.http_url} does not answer: {error}",
                f"It may have ended; its log is {self.log_file}.",
            ) from error

    def stop(self, *, keep_log: bool = False) -> None:
        """Stops the server; nothing of it is left on return. Again is harmless.

        Args:
            keep_log: leave its log where it lies, though nobody asked for one.
        """
        try:
            self._end(keep_log)
        finally:
            if self.echo:
                self.echo.close()

    @abstractmethod
    def _end(self, keep_log: bool) -> None:
        """Ends the server and what belongs to it."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the server ends; its exit code."""

    @property
    def control(self) -> TritonControl:
        """Triton's control endpoints."""
        return TritonControl(self.host, self.ports.http, self.restrictions.http)

    def __enter__(self) -> InferenceService:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def load_failure(control: TritonControl, name: str, log: Path, timeout: float) -> str:
    """Loads a model; why it did not load, or an empty string."""
    from nosbuild.runtime.server_log import poll_failure

    try:
        control.load(name, timeout)
    except ControlRefused as refused:
        if "failed to poll from model repository" in refused.reason:
            return poll_failure(log, name) or refused.reason
        return refused.reason
    except TimeoutError:
        return f"not loaded after {timeout:g} seconds"
    except OSError as error:
        return "\n  ".join([f"the server ended while it loaded ({error}):", *last_lines(log)])
    return ""
