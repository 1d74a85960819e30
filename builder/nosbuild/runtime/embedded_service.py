"""A running Triton that is a process of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nosbuild.errors import RepositoryError
from nosbuild.runtime.environment import ServerEnvironment
from nosbuild.runtime.loading import require_loadable, unload_if_worker_ended
from nosbuild.runtime.managed_models import managed_models
from nosbuild.runtime.model_environments import require_environment
from nosbuild.runtime.model_manager import ask_manager
from nosbuild.runtime.process import ServerProcess
from nosbuild.runtime.served_files import ServedFiles
from nosbuild.runtime.service import LOAD_SECONDS, InferenceService, load_failure
from nosbuild.runtime.taking_up import take_up

if TYPE_CHECKING:
    from nosbuild.runtime.manager_watch import ManagerWatch

RollsOut = Callable[["EmbeddedService", str, float, Callable[[str], None]], bool]
"""Given a model, seconds and whom to tell: whether it had new versions, which serve now."""


@dataclass(repr=False, kw_only=True)
class EmbeddedService(InferenceService):
    """A server under a supervisor of ours."""

    process: ServerProcess
    environment: ServerEnvironment
    files: ServedFiles
    """Its own folder: what it serves of each model."""
    watch: ManagerWatch | None = None
    """Over the model manager, of which no other process can load a new one."""
    rolls_out: RollsOut | None = None
    """Proves new versions before they take over; without, ``load_model`` loads them as they are."""

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
        say = on_progress or _silent
        rolls_out = self.rolls_out
        take_up(
            self.repository,
            name,
            lambda closure: self._load(name, closure, timeout, say),
            files=self.files,
            rolls_out=(lambda: rolls_out(self, name, timeout, say)) if rolls_out else None,
        )

    def _load(
        self, name: str, closure: Sequence[str], timeout: float, say: Callable[[str], None]
    ) -> None:
        require_loadable(self.repository, name)
        require_environment(self.repository, name, self.environment, say)
        if self.is_on_demand:
            models = managed_models(self.repository, closure)
            with self._managed() as client:
                ask_manager(
                    client, "ensure", model=name, again=True, models=models, timeout=timeout
                )
            return
        unload_if_worker_ended(self.control, self.pid, name, timeout)
        reason = load_failure(self.control, name, self.log_file, timeout)
        if reason:
            raise RepositoryError(
                f"model {name!r} does not load: {reason}", f"Triton's log: {self.log_file}"
            )

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the server ends; its exit code."""
        return self.process.wait(timeout)

    def _end(self, keep_log: bool) -> None:
        if self.watch:
            self.watch.stop()
        self.process.stop(keep_log=keep_log)


def _silent(_: str) -> None:
    return
