"""A running Triton in a container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from nosbuild.errors import HostError, Refused, RepositoryError, error_classes
from nosbuild.runtime.docker.engine import Engine, connect_engine, sdk
from nosbuild.runtime.docker.fitting import unfit_models
from nosbuild.runtime.docker.images import FOLDER, Image
from nosbuild.runtime.docker.links import LINKS, remove_links
from nosbuild.runtime.docker.output import ContainerOutput
from nosbuild.runtime.docker.owner import ContainerGuard
from nosbuild.runtime.docker.refusals import refusals
from nosbuild.runtime.loading import require_loadable
from nosbuild.runtime.model_manager import MODEL_MANAGER
from nosbuild.runtime.service import LOAD_SECONDS, InferenceService

STOP_SECONDS = 15
"""What the server in the container has to end by itself; models' ``finalize`` has 10 of them."""
_RUNS = ("created", "running", "restarting", "paused")


@dataclass(repr=False, kw_only=True)
class DockerService(InferenceService):
    """A container that serves; it ends with the process that started it, unless detached."""

    engine: Engine
    container: Any
    """``docker.models.containers.Container``."""
    image: Image
    gpu: bool
    output: ContainerOutput
    guard: ContainerGuard | None
    """None where it outlives this process."""
    keeps_log: bool
    """The user named a file for it."""

    @property
    def name(self) -> str:
        """The container's, as ``docker ps`` shows it."""
        return str(self.container.name)

    def __repr__(self) -> str:
        """Two lines: where it answers, and what it serves."""
        return (
            f"<InferenceService on {self.grpc_url} (gRPC) and {self.http_url}: container "
            f"{self.name} of {self.image.name}\n of {self.repository}, log {self.log_file}>"
        )

    @property
    def pid(self) -> int:
        """The container's first process, as this machine sees it; 0 where it does not run."""
        return int((self._attributes().get("State") or {}).get("Pid") or 0)

    @property
    def is_running(self) -> bool:
        """False once the container has ended."""
        return (self._attributes().get("State") or {}).get("Status") in _RUNS

    def models(self) -> list[str]:
        """Names of the models that are loaded and ready, sorted; without the model manager."""
        if not self.is_on_demand:
            return super().models()
        with self._managed() as client:  # who started the server, in the container, has its key
            rows = client.list_models()
        return sorted({row.name for row in rows if row.state == "READY"} - {MODEL_MANAGER})

    def load_model(
        self,
        name: str,
        timeout: float = LOAD_SECONDS,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Loads a model of the repository, or its newest version again."""
        require_loadable(self.repository, name)
        for model, reason in unfit_models(self.repository, [name], self.image, self.gpu).items():
            raise RepositoryError(f"model {model!r} does not fit the container: {reason}")
        if on_progress:
            on_progress(f"Loading {name} in the container {self.name}")
        for line in load_in_container(self.engine, self.container, name, str(self.repository)):
            if on_progress:
                on_progress(line)

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the server ends; its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        from requests.exceptions import ConnectionError, ReadTimeout

        try:
            with refusals(self.engine, "wait for the container"):
                try:
                    code = self.container.wait(timeout=timeout)["StatusCode"]
                except sdk().errors.NotFound:
                    return None  # it was stopped, or removed by somebody
        except HostError as error:
            if timeout is not None and isinstance(error.__cause__, (ReadTimeout, ConnectionError)):
                raise subprocess.TimeoutExpired(self.name, timeout) from error
            raise
        self.output.close()
        return int(code)

    def leave(self) -> None:
        """Stops watching a container that outlives this process."""
        self.engine.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.guard is None:
            self.leave()
        else:
            self.stop()

    def _end(self, keep_log: bool) -> None:
        self.keeps_log |= keep_log  # also where it is stopped once more
        try:
            with refusals(self.engine, "stop the container"):
                try:
                    self.container.stop(timeout=STOP_SECONDS)
                    self.output.close()
                    self.container.remove(force=True, v=True)
                except sdk().errors.NotFound:
                    self.output.close()
            remove_links(self.container.labels.get(LINKS, ""))
        except BaseException:  # a second Ctrl-C, too
            if self.guard:
                self.guard.take_over()
            raise
        if self.guard:
            self.guard.release()
        self.engine.close()
        if not self.keeps_log:
            self.log_file.unlink(missing_ok=True)

    def _attributes(self) -> dict[str, Any]:
        with refusals(self.engine, "look at the container"):
            try:
                self.container.reload()
            except sdk().errors.NotFound:
                return {}
        found: dict[str, Any] = self.container.attrs
        return found


def await_document(service: DockerService) -> dict[str, Any]:
    """What ``nosbuild serve --json`` in the container prints once it serves, or cannot.

    Raises:
        NosError: as the container told it; a HostError where it ended without a word.
    """
    while (document := service.output.wait(0.25)) is None:
        if not service.is_running:
            time.sleep(0.5)  # for the last of what it printed
            if (document := service.output.wait(0.5)) is None:
                raise _ended(service)
            break
    if told := document.get("error"):
        kind = error_classes().get(told.get("type", ""), HostError)
        message, remedy = (
            _ours(told.get(key, ""), str(service.repository)) for key in ("message", "remedy")
        )
        raise kind(f"in the container: {message}", remedy)
    return document


def _ended(service: DockerService) -> HostError:
    from nosbuild.runtime.server_log import last_lines

    state = service._attributes().get("State") or {}
    why = f"with code {state.get('ExitCode', '?')}"
    if state.get("OOMKilled"):
        why = "because it was out of memory"
    lines = last_lines(service.log_file)
    return HostError(
        "\n  ".join([f"the container of {service.image.name} ended {why}:", *lines]),
        f"Its log: {service.log_file}; the image must run nosbuild serve {FOLDER}.",
    )


def load_in_container(engine: Engine, container: Any, model: str, repository: str) -> list[str]:
    """Tell the nosbuild in a container to load a model, which makes its environment first, and
    proves a new version.

    Returns:
        what it says of what serves now.

    Raises:
        Refused: its new version was not proven.
        RepositoryError: it does not load.
        HostError: it cannot be had in the container, or the engine does not answer.
    """
    with refusals(engine, f"run nosbuild load in the container {container.name}"):
        code, (told, errors) = container.exec_run(["nosbuild", "load", model], demux=True)
    told, errors = (
        _ours((text or b"").decode(errors="replace"), repository).strip() for text in (told, errors)
    )
    if code:
        # Before the error stands progress.
        reason = f"\n{errors or told}".rpartition("\nerror: ")[2].strip()
        raise _LOAD_ERRORS.get(code, HostError)(f"in the container: {reason}")
    return told.splitlines()


_LOAD_ERRORS = {kind.exit_code: kind for kind in (RepositoryError, Refused)}


def load_in_running(name: str, model: str, repository: str) -> list[str]:
    """The same for a container that another process started.

    Args:
        name: of the container.
        model: to load.
        repository: that it serves, as this machine sees it.
    """
    engine = connect_engine()
    with refusals(engine, f"find the container {name}"):
        container = engine.client.containers.get(name)
    return load_in_container(engine, container, model, repository)


def _ours(text: str, repository: str) -> str:
    """Paths of the container as this machine has them."""
    return text.replace(f"{FOLDER}/", f"{repository}/").replace(f" {FOLDER} ", f" {repository} ")
