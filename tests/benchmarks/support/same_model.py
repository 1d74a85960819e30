"""A model that gives back what it gets, of any size: nothing but the way there and back."""

from __future__ import annotations

from pathlib import Path

_MODEL = """
import triton_python_backend_utils as pb_utils

BALLAST = bytearray(b"x") * {ballast}


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", request.inputs()[0].as_numpy())])
            for request in requests
        ]
"""
_CONFIG = """
backend: "python"
max_batch_size: 64
dynamic_batching {{ }}
input {{ name: "x" data_type: TYPE_FP32 dims: [ {size} ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ {size} ] }}
"""


def write_same_model(repository: Path, size: int, name: str = "", ballast: int = 0) -> str:
    """A model (x -> y, each float32[batch, size]); returns its name, ``same_<size>`` as a rule.

    ``ballast``: bytes that its process holds for nothing.
    """
    name = name or f"same_{size}"
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_MODEL.format(ballast=ballast))
    (version.parent / "config.pbtxt").write_text(_CONFIG.format(size=size))
    return name
