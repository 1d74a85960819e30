"""TensorRT's phases go in; lines in the step's log come out, and an end after the time limit."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any


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

        class Monitor(library.IProgressMonitor):  # type: ignore[misc]
            def __init__(self) -> None:
                library.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                with lock:
                    steps[phase_name] = num_steps
                if parent_phase is None:
                    self._tell(f"{phase_name}, {num_steps} steps")

            def step_complete(self, phase_name: str, step: int) -> bool:
                with lock:
                    total = steps.get(phase_name, 0)
                if total > 1:
                    self._tell(f"{phase_name}: {step + 1} of {total}")
                if seconds is not None and time.monotonic() - started > seconds:
                    progress.ran_out = True
                return not progress.ran_out

            def phase_finish(self, phase_name: str) -> None:
                with lock:
                    steps.pop(phase_name, None)

            def _tell(self, text: str) -> None:
                sys.stderr.write(f"{time.monotonic() - started:7.1f} s  {text}\n")

        self.monitor = Monitor()
