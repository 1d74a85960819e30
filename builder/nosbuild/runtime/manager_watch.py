"""A service on demand goes in; its model manager comes back when its worker process ends.

Triton starts no other worker by itself, and only who has the manager's key can load it again: the
process that started the server.
"""

from __future__ import annotations

import threading

from nosbuild.runtime.loading import unload_if_worker_ended
from nosbuild.runtime.model_manager import MODEL_MANAGER
from nosbuild.runtime.service import InferenceService, load_failure
from nosbuild.runtime.service_record import start_time

_STEP_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
"""Between two loads of one that ends again and again."""
_CALM_SECONDS = 60.0
"""One that has lived for so long is no such one."""
_LOAD_SECONDS = 60.0


class ManagerWatch:
    """A thread that looks after the manager for as long as the service runs."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        self._is_over = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="watch over the model manager", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends it, before the server is."""
        self._is_over.set()
        self._thread.join(_STEP_SECONDS + 1)

    def _watch(self) -> None:
        worker: int | None = None
        is_missing = False
        lived, pause = 0.0, _STEP_SECONDS
        while not self._is_over.wait(_STEP_SECONDS) and self._service.is_running:
            if worker is not None and start_time(worker) is not None:
                lived += _STEP_SECONDS
                if lived > _CALM_SECONDS:
                    pause = _STEP_SECONDS
                continue
            worker, lived = self._worker(), 0.0
            if worker is not None:
                is_missing = False
            elif is_missing or self._has_ended():
                is_missing = not self._is_loaded()
                self._is_over.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _has_ended(self) -> bool:
        """Its worker has, though Triton calls it ready; it is unloaded then. Not one that its
        owner unloads, or loads again.
        """
        import psutil

        service = self._service
        try:
            return unload_if_worker_ended(
                service.control, service.pid, MODEL_MANAGER, _LOAD_SECONDS
            )
        except psutil.Error:
            return False  # the server ends

    def _is_loaded(self) -> bool:
        """Why not, if not, stands in Triton's log."""
        service = self._service
        return not load_failure(service.control, MODEL_MANAGER, service.log_file, _LOAD_SECONDS)

    def _worker(self) -> int | None:
        import psutil

        try:
            children = psutil.Process(self._service.pid).children()
        except psutil.Error:
            return None  # the server ends
        for child in children:
            try:
                if any(word.startswith(f"{MODEL_MANAGER}_") for word in child.cmdline()):
                    return child.pid
            except psutil.Error:
                continue  # it ended just now, or waits to be buried
        return None
