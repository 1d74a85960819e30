"""An artifact goes in; something that runs it, arrays in and arrays out, comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import onnxruntime

from nosbuild.errors import Refused
from nosbuild.inside_triton.backends.onnxruntime.ort_providers import (
    CPU,
    Provider,
    fallback,
    providers_for,
)

if TYPE_CHECKING:
    import numpy as np

Providers = Literal["cpu", "cuda", "tensorrt"]


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime, set up as Triton's backend sets it up."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 0,
        spinning: bool = True,
        providers: Providers = "cpu",
        parameters: Mapping[str, str] | None = None,
        device: int = 0,
    ) -> None:
        """Load the file.

        Args:
            path: the ONNX file.
            threads: intra-op threads; 0 for one per physical core.
            spinning: idle threads spin for work; wasteful where several sessions share cores.
            providers: cpu, or Triton's name of an accelerator on the GPU.
            parameters: of that accelerator, as config.pbtxt names them.
            device: which GPU.

        Raises:
            Refused: it would run on something else than what was asked for.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Or the threads of a session that has had its turn take the cores from the next one's.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if not spinning:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted: list[Provider] = [CPU]
        if providers != "cpu":
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            wanted = providers_for([(providers, parameters or {})], device)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        if missing := fallback(wanted, self.session.get_providers()):
            raise Refused(
                missing,
                "Install onnxruntime-gpu in place of onnxruntime, with the CUDA and cuDNN (and "
                "TensorRT) that its version is made for.",
            )
        self.names = [value.name for value in self.session.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output, under its name."""
        return dict(zip(self.names, self.session.run(self.names, inputs), strict=True))
