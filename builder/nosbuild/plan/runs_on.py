"""What in Triton runs a variant, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Accelerator = Literal["", "cuda", "tensorrt"]


@dataclass(frozen=True)
class RunsOn:
    """A backend of Triton, and how it is set up."""

    backend: str = "onnxruntime"
    """Triton's name: onnxruntime or tensorrt."""
    accelerator: Accelerator = ""
    """ONNX Runtime's execution provider on a GPU; empty for the CPU."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Of the accelerator, as config.pbtxt names them."""

    @property
    def needs_gpu(self) -> bool:
        """True where only a GPU runs it."""
        return self.backend == "tensorrt" or bool(self.accelerator)
