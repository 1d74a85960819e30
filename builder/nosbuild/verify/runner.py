"""An artifact and what will serve it go in; what runs it here comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nosbuild.export.saving import MODEL_FILE
from nosbuild.plan import RunsOn

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays

PLAN_FILE = "model.plan"


class Runner(Protocol):
    """Arrays in, arrays out; shapes include the batch axis where there is one."""

    def run(self, inputs: Arrays) -> Arrays:
        """Every output, under its name."""
        ...


def open_runner(
    artifact: Path, runs_on: RunsOn, *, threads: int = 0, spinning: bool = True
) -> Runner:
    """Load an artifact as Triton's backend would.

    Args:
        artifact: folder with ``model.onnx`` or ``model.plan``, or of a Python model.
        runs_on: what will serve it.
        threads: intra-op threads on the CPU; 0 for one per physical core.
        spinning: idle threads spin for work.

    Raises:
        HostError: this machine cannot run it.
        Refused: ONNX Runtime does not run it on the accelerator.
    """
    if runs_on.backend == "tensorrt":
        from nosbuild.verify.tensorrt_runner import TensorRTRunner

        return TensorRTRunner(artifact / PLAN_FILE)
    if runs_on.backend == "python":
        from nosbuild.verify.python_runner import PythonRunner

        return PythonRunner(artifact)  # of a class that calls other models: see steps.members
    from nosbuild.verify.runners import OnnxRuntimeRunner

    return OnnxRuntimeRunner(
        artifact / MODEL_FILE,
        threads=threads,
        spinning=spinning,
        providers=runs_on.accelerator or "cpu",
        parameters=runs_on.parameters,
    )
