"""TensorRT's phases go in; lines in the step's log come out, and an end after the time limit."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

_BETWEEN_LINES = 1.0
"""Seconds; a large graph has thousands of steps."""


class Progress:
    """What a build tells of itself.

    Attributes:
        monitor: for ``IBuilderConfig.progress_monitor``; None where this TensorRT has none.
        ran_out: the time limit ended the build.
    """

    def __init__(self, library: Any, seconds: float | None) -> None:
        self.ran_out = False
        self.monitor: Any = None
        if not hasattr(library, "IProgressMonitor"):
            return
        progress = self
        started = time.monotonic()
        lock = threading.Lock()  # TensorRT calls from several threads
        steps: dict[str, int] = {}
        told = started

        class Monitor(library.IProgressMonitor):  # type: ignore[misc]
            def __init__(self) -> None:
                library.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                with lock:
                    steps[phase_name] = num_steps
                if parent_phase is None:
                    _tell(time.monotonic() - started, f"{phase_name}, {num_steps} steps")

            def step_complete(self, phase_name: str, step: int) -> bool:
                nonlocal told
                now = time.monotonic()
                with lock:
                    total = steps.get(phase_name, 0)
                    is_time = now - told > _BETWEEN_LINES
                    told = now if is_time else told
                if is_time:
                    _tell(now - started, f"{phase_name}: {step + 1} of {total}")
                if seconds is not None and now - started > seconds:
                    progress.ran_out = True
                return not progress.ran_out

            def phase_finish(self, phase_name: str) -> None:
                with lock:
                    steps.pop(phase_name, None)

        self.monitor = Monitor()


def _tell(seconds: float, text: str) -> None:
    sys.stderr.write(f"{seconds:7.1f} s  {text}\n")
