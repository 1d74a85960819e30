"""A ``model.plan`` goes in; what runs it on this machine's GPU, arrays in and out, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import HostError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.session import (
    EngineSession,
    EngineUnusable,
)

if TYPE_CHECKING:
    import numpy as np


class TensorRTRunner:
    """An engine on a GPU, run by the files that run it inside Triton."""

    def __init__(self, plan: Path, *, device: int = 0) -> None:
        """Load the engine that ``model.engine.json`` beside it describes.

        Raises:
            HostError: no GPU, another TensorRT than the one that built it, or another GPU.
        """
        try:
            self.session = EngineSession(plan, device)
        except EngineUnusable as error:
            raise HostError(
                f"{plan.name} cannot run here: {error}",
                "Build and prove it on the machine that is to serve it; the ONNX variants run "
                "everywhere.",
            ) from error
        self.names = [tensor.name for tensor in self.session.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output, under its name.

        Raises:
            ShapeRefused: shapes that no profile of the engine takes.
            RunFailed: TensorRT or the GPU failed.
        """
        return self.session.run(inputs)

    def close(self) -> None:
        """Give the GPU's memory back; again is harmless."""
        self.session.close()
