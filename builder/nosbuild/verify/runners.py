"""An artifact goes in; something that runs it, arrays in and arrays out, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

if TYPE_CHECKING:
    import numpy as np


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime on the CPU, set up as Triton's backend sets it up."""

    def __init__(self, path: Path, *, threads: int = 0, spinning: bool = True) -> None:
        """Load the file.

        Args:
            path: the ONNX file.
            threads: intra-op threads; 0 for one per physical core.
            spinning: idle threads spin for work; wasteful where several sessions share cores.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if not spinning:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.names = [value.name for value in self.session.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output, under its name."""
        return dict(zip(self.names, self.session.run(self.names, inputs), strict=True))
