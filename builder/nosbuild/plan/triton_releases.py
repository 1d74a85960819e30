"""ONNX Runtime in NVIDIA's Triton containers, by release.

Source: triton-inference-server/server, docs/introduction/compatibility.md, "ONNX Runtime Versions".
"""

from __future__ import annotations

ONNX_RUNTIME: dict[str, str] = {
    "24.04": "1.17.3",
    "24.05": "1.18.0",
    "24.06": "1.18.0",
    "24.07": "1.18.1",
    "24.08": "1.18.1",
    "24.09": "1.19.2",
    "24.10": "1.19.2",
    "24.11": "1.19.2",
    "24.12": "1.20.1",
    "25.01": "1.20.1",
    "25.02": "1.20.1",
    "25.03": "1.21.0",
    "25.04": "1.21.0",
    "25.05": "1.22.0",
    "25.06": "1.22.0",
    "25.07": "1.22.0",
    "25.08": "1.23.0",
    "25.09": "1.23.0",
    "25.10": "1.23.1",
    "25.11": "1.23.2",
    "25.12": "1.23.2",
    "26.01": "1.23.2",
    "26.02": "1.24.1",
    "26.03": "1.24.2",
    "26.04": "1.24.4",
    "26.05": "1.24.4",
    "26.06": "1.24.4",
    "26.07": "1.27.0",
    "26.08": "1.28.0",
}
"""Release -> version. Releases later than the last have at least that."""

OLDEST = "24.05"
"""Earlier releases' ONNX Runtime (before 1.18) reads no file of ONNX IR version 10."""


def onnx_runtime_of(release: str) -> str:
    """The version in a release's container; the last known one for later releases."""
    return ONNX_RUNTIME.get(release) or ONNX_RUNTIME[max(ONNX_RUNTIME)]
