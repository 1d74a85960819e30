"""What opens a variant, and its largest batch, go in; what an instance of it holds comes out.

For a process that has done nothing else yet: memory that was freed before would be used again
unseen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from nosbuild.inside_triton.model_manager.nos_model_manager.device_memory import DeviceMemory
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays
    from nosbuild.verify.runner import Runner

_RUNS = 3
"""The first run of a shape allocates; others may, too."""
_RESIDENT, _MOST = "VmRSS", "VmHWM"
"""As in proc(5), /proc/PID/status."""
_FORGET_MOST = "5"
"""For /proc/PID/clear_refs."""


class Memory(BaseModel):
    """Resident bytes of one instance in a process of its own, its libraries with it."""

    model_config = ConfigDict(frozen=True)
    idle: int
    """Loaded, and nothing to do yet."""
    peak: int
    """The most, while it answered the largest batch."""
    batch: int
    """Items of that batch; 1 where the model takes none."""
    device_peak: int | None = None
    """The same of GPUs, as the driver tells it afterwards: frameworks keep there what they once
    had. None where none was used, or the driver does not tell.
    """


def measure_memory(
    opened: Callable[[], Runner], inputs: Arrays, batch: int, libraries: Sequence[str]
) -> Memory:
    """Open it, and let it answer the largest batch.

    Args:
        opened: makes the runner.
        inputs: of the largest batch that it is to take.
        batch: items in it.
        libraries: Python's modules that a process of it needs; they are imported here before.
    """
    bare = _bare_process(libraries)
    before = _status(_RESIDENT)
    runner = opened()
    idle = _status(_RESIDENT)
    is_forgotten = _forget_most()
    for _ in range(_RUNS):
        runner.run(inputs)
    most = _status(_MOST if is_forgotten else _RESIDENT)
    grown = max(0, idle - before)
    peak = bare + max(grown, most - before)
    return Memory(idle=bare + grown, peak=peak, batch=batch, device_peak=_of_gpus(os.getpid()))


def memory_of_process(pid: int, batch: int) -> Memory:
    """Of a process that serves one instance, after it has answered its largest batch."""
    idle, peak = _status(_RESIDENT, pid), _status(_MOST, pid)
    return Memory(idle=idle, peak=peak, batch=batch, device_peak=_of_gpus(pid))


def _bare_process(libraries: Sequence[str]) -> int:
    """Bytes of a Python that has imported them, and does nothing."""
    code = f"import {', '.join(libraries)}; print(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return _bytes(done.stdout, _RESIDENT)


def _of_gpus(pid: int) -> int | None:
    return sum(DeviceMemory().of_processes().get(pid, Sizes()).values()) or None


def _status(field: str, pid: int | None = None) -> int:
    status = Path(f"/proc/{os.getpid() if pid is None else pid}/status")
    return _bytes(status.read_text(encoding="utf-8"), field)


def _bytes(status: str, field: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def _forget_most() -> bool:
    """Let the kernel count the most anew; False where it does not let us."""
    try:
        Path("/proc/self/clear_refs").write_text(_FORGET_MOST, encoding="utf-8")
    except OSError:
        return False
    return True
