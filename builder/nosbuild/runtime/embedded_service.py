"""A running Triton that is a process of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nosbuild.errors import RepositoryError
from nosbuild.repository.calls import with_called
from nosbuild.runtime.environment import ServerEnvironment
from nosbuild.runtime.loading import require_loadable, unload_if_worker_ended
from nosbuild.runtime.managed_models import managed_models
from nosbuild.runtime.model_environments import require_environment
from nosbuild.runtime.model_manager import ask_manager
from nosbuild.runtime.process import ServerProcess
from nosbuild.runtime.service import LOAD_SECONDS, InferenceService, load_failure


@dataclass(repr=False, kw_only=True)
class EmbeddedService(InferenceService):
    """A server under a supervisor of ours."""

    process: ServerProcess
    environment: ServerEnvironment

    @property
    def pid(self) -> int:
        """Triton's process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """False once the server has ended."""
        return self.process.is_running

    def load_model(
        self,
        name: str,
        timeout: float = LOAD_SECONDS,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Loads a model of the repository, or its newest version again."""
        require_loadable(self.repository, name)
        require_environment(self.repository, name, self.environment, on_progress or _silent)
        unload_if_worker_ended(self.control, self.pid, name, timeout)
        if self.is_on_demand:
            models = managed_models(self.repository, with_called(self.repository, [name]))
            with self._managed() as client:
                ask_manager(
                    client, "ensure", model=name, again=True, models=models, timeout=timeout
                )
            return
        reason = load_failure(self.control, name, self.log_file, timeout)
        if reason:
            raise RepositoryError(
                f"model {name!r} does not load: {reason}", f"Triton's log: {self.log_file}"
            )

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the server ends; its exit code."""
        return self.process.wait(timeout)

    def _end(self, keep_log: bool) -> None:
        self.process.stop(keep_log=keep_log)


def _silent(_: str) -> None:
    return
