"""What a roll-out wants loaded goes in; the server, or its model manager, loads it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nosbuild.errors import HostError, RequestError
from nosbuild.inside_triton.model_manager.nos_model_manager.reasons import clean_reason
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import ModelFolder
from nosbuild.rollout.candidate import Candidate
from nosbuild.rollout.server import RunningServer
from nosbuild.runtime.managed_models import managed_model, managed_models
from nosbuild.runtime.model_manager import MODEL_MANAGER, ask_manager, told_by_manager
from nosbuild.runtime.served_files import Snapshot
from nosbuild.runtime.server_log import poll_failure
from nosclient import (
    Client,
    InferenceFailed,
    ModelLoadFailed,
    ModelNotReady,
    NosClientError,
    ServerUnavailable,
    WorkerEnded,
)

_UNLOAD_SECONDS = 30.0
_AGAIN_SECONDS = 0.25
_POLL = "failed to poll from model repository"
_MANAGER_ENDED = f"the worker process of {MODEL_MANAGER!r} has ended"
"""What nosclient says of it; the manager itself may tell that another one's has."""


class LoadFailed(Exception):
    """A version does not load; the text is Triton's reason."""


@dataclass(frozen=True)
class Loads:
    """Loads and unloads of one server."""

    server: RunningServer
    client: Client
    timeout: float
    """Seconds for each load."""
    has_manager: bool

    @classmethod
    def of(cls, server: RunningServer, client: Client, timeout: float) -> Loads:
        """Finds out whether the server has a manager, unless that is known.

        Raises:
            HostError: it does not answer.
        """
        if server.is_on_demand is not None:
            return cls(server, client, timeout, server.is_on_demand)
        with _translated(server, ""):
            # Though it is not ready: it may be loaded again just now.
            has_manager = any(row.name == MODEL_MANAGER for row in client.list_models())
        return cls(server, client, timeout, has_manager)

    def loaded(self, model: str) -> set[int]:
        """Versions of the model that answer.

        Raises:
            HostError: the server does not.
        """
        with _translated(self.server, model):
            rows = self.client.list_models()
        return {int(row.version) for row in rows if row.name == model and row.state == "READY"}

    def try_out(self, candidate: Candidate, unknown: Iterable[str]) -> None:
        """Load a candidate, which then stays until it is dropped.

        Args:
            candidate: laid out.
            unknown: models that it calls, and that the server does not know yet.

        Raises:
            LoadFailed: with Triton's reason.
            RequestError, HostError: it cannot be tried now: there is no room, no server.
        """
        with _translated(self.server, candidate.name):
            if not self.has_manager:
                self.client.load_model(candidate.name, deadline=self.timeout)
                return
            models = managed_models(self.server.files.models, [candidate.name])
            models[candidate.name]["is_trial"] = True  # it shows what it does; nobody revives it
            models |= managed_models(self.server.repository, unknown)
            # Again: what is known of an earlier candidate says nothing about this one.
            self._ask("ensure", candidate.name, again=True, models=models)
            self._ask("pin", candidate.name)

    def drop(self, name: str) -> None:
        """Unload a candidate, whether it is loaded or not."""
        # What is stuck, as one whose worker has ended, is nobody's any more.
        with suppress(NosClientError):
            if not self.has_manager:
                self.client.unload_model(name, deadline=_UNLOAD_SECONDS)
                return
            self._ask("unpin", name)
            self._release(name)
            self._ask("forget", name)

    def how_it_ended(self, name: str) -> str:
        """Of a candidate's worker, in words; empty where the model manager knows of no such end."""
        if not self.has_manager:
            return ""
        with suppress(NosClientError):
            told = ask_manager(self.client, "status", timeout=_UNLOAD_SECONDS)
            crash = told["models"].get(name, {}).get("last_crash")
            return str(crash["reason"]) if crash else ""
        return ""

    def _release(self, name: str) -> None:
        """Also where the manager is still at its load, which took too long."""
        until = time.monotonic() + _UNLOAD_SECONDS
        while True:
            try:
                self._ask("release", name, seconds=_UNLOAD_SECONDS)
                return
            except ModelNotReady:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_SECONDS)

    def load(self, model: str, closure: Iterable[str]) -> None:
        """Load what is published of a model, beside what is loaded of it, and swap.

        Raises:
            LoadFailed: with Triton's reason; what was loaded stays.
            RequestError, HostError: not now.
        """
        with _translated(self.server, model):
            if self.has_manager:
                models = managed_models(self.server.repository, closure)
                self._ask("ensure", model, again=True, models=models)
            else:
                self.client.load_model(model, deadline=self.timeout)

    def settle(
        self, folder: ModelFolder, served: Snapshot, *, is_restored: bool, load: bool
    ) -> None:
        """See to it that a model which is loaded, or will be, is what was served.

        Args:
            folder: of the model.
            served: that.
            is_restored: whether its config.pbtxt says so again; a manager need not read it.
            load: though it is not loaded; only a manager then does.

        Raises:
            LoadFailed: with Triton's reason.
            RequestError, HostError: not now.
        """
        name = folder.name
        if self.has_manager:  # told before anything else is asked, which may fail
            config = read_config(folder.config) if is_restored else served.parsed()
            known = {name: managed_model(folder, config)}
            self._make_known(name, known)
        loaded = self.loaded(name)
        is_other = bool(loaded) and loaded != set(served.versions)
        with _translated(self.server, name):
            if self.has_manager and is_other:
                self._ask("ensure", name, again=True, models=known)
            elif self.has_manager and (loaded or load):
                self._ask("ensure", name)
            elif is_other and is_restored:  # somebody loaded the other one, past this
                self.client.load_model(name, deadline=self.timeout)

    def make_known(self, model: str, closure: Iterable[str]) -> None:
        """Tell a manager what is published of a model, beside others; it loads none of them.

        Raises:
            RequestError, HostError: not now.
        """
        if self.has_manager:
            self._make_known(model, managed_models(self.server.repository, closure))

    def _make_known(self, model: str, known: Mapping[str, Any]) -> None:
        with _translated(self.server, model):
            self._ask("status", model, models=known)

    def _ask(self, operation: str, name: str, *, seconds: float = 0.0, **more: Any) -> None:
        ask_manager(self.client, operation, model=name, timeout=seconds or self.timeout, **more)


@contextmanager
def _translated(server: RunningServer, model: str) -> Iterator[None]:
    """What nosclient raises, told apart: the version's fault, or the moment's."""
    try:
        yield
    except (InferenceFailed, ModelLoadFailed) as error:
        if isinstance(error, WorkerEnded) and _MANAGER_ENDED in error.message:
            raise RequestError(
                "the worker process of the model manager has ended", "It is started again: wait."
            ) from error
        reason = told_by_manager(error.message)
        if _POLL in reason:
            reason = poll_failure(server.log_file, model) or reason
        for frame in ("could not be loaded", "does not load"):
            reason = reason.removeprefix(f"model {model!r} {frame}: ")
        raise LoadFailed(clean_reason(reason)) from error
    except ServerUnavailable as error:
        raise HostError(
            f"the server at {server.grpc_url} does not answer: {error.message}",
            f"It may have ended; its log is {server.log_file}.",
        ) from error
    except NosClientError as error:
        raise RequestError(error.message, "nosbuild status shows what is loaded.") from error
