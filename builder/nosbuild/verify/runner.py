"""An artifact and the backend that will serve it go in; what runs it here comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays

Accelerator = Literal["", "cuda", "tensorrt"]
"""ONNX Runtime's execution provider on a GPU; empty for the CPU."""

ONNX_FILE = "model.onnx"
PLAN_FILE = "model.plan"


class Runner(Protocol):
    """Arrays in, arrays out; shapes include the batch axis where there is one."""

    def run(self, inputs: Arrays) -> Arrays:
        """Every output, under its name."""
        ...


def open_runner(
    artifact: Path,
    backend: str,
    accelerator: Accelerator = "",
    *,
    threads: int = 0,
    spinning: bool = True,
) -> Runner:
    """Load an artifact as Triton's backend would.

    Args:
        artifact: folder with ``model.onnx`` or ``model.plan``.
        backend: Triton's name: onnxruntime or tensorrt.
        accelerator: ONNX Runtime's execution provider: ``cuda``, ``tensorrt``; empty for the CPU.
        threads: intra-op threads on the CPU; 0 for one per physical core.
        spinning: idle threads spin for work.

    Raises:
        HostError: this machine cannot run it.
        Refused: ONNX Runtime does not run it on the accelerator.
    """
    if backend == "tensorrt":
        from nosbuild.verify.tensorrt_runner import TensorRTRunner

        return TensorRTRunner(artifact / PLAN_FILE)
    from nosbuild.verify.runners import OnnxRuntimeRunner

    return OnnxRuntimeRunner(
        artifact / ONNX_FILE, threads=threads, spinning=spinning, providers=accelerator or "cpu"
    )
