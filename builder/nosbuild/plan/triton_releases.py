"""What NVIDIA's Triton containers hold, by release: the one table of it.

``docker/compatibility.yaml`` is this table in writing (``docker/compatibility.py`` makes it). What
no source tells is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

COMPATIBILITY = "triton-inference-server/server, docs/introduction/compatibility.md"
RELEASE_NOTES = "docs.nvidia.com/deeplearning/triton-inference-server/release-notes"

SOURCES: dict[str, str] = {
    "onnx_runtime": f'{COMPATIBILITY}, "ONNX Runtime Versions"',
    "python": f'{COMPATIBILITY}, "Container Name: vllm-python-py3", built on the plain image',
    "cuda": f'{COMPATIBILITY}, "Container Name: vllm-python-py3"; of 26.10: {RELEASE_NOTES}/'
    "rel-26-10.html",
    "driver": f'{COMPATIBILITY}, "Container Name: vllm-python-py3", "CUDA Driver version"',
    "tensorrt_of_trtllm_image": f'{COMPATIBILITY}, "Container Name: trtllm-python-py3"',
    "least_driver": f'{RELEASE_NOTES}/rel-<year>-<month>.html, "Driver Requirements"',
}
"""Field of a release -> where it was read."""


@dataclass(frozen=True)
class TritonRelease:
    """What one release's ``tritonserver:<release>-py3`` holds; empty where no source tells."""

    onnx_runtime: str = ""
    python: str = ""
    cuda: str = ""
    driver: str = ""
    """The driver that this CUDA came with."""
    tensorrt_of_trtllm_image: str = ""
    """Of the ``-trtllm-python-py3`` image. The plain image's may be another: the image itself
    tells (``docker/builder.Dockerfile`` asks it)."""
    least_driver: str = ""
    """The major version that the release asks for; data centre GPUs may do with an older one,
    through CUDA's compatibility package."""


RELEASES: dict[str, TritonRelease] = {
    "24.04": TritonRelease(
        "1.17.3", "3.10.12", "12.4.1", "550.54.15", "9.3.0.post12.dev1", least_driver="545"
    ),
    "24.05": TritonRelease("1.18.0", "3.10.12", "12.4.1", "550.54.15", "10.0.1.6"),
    "24.06": TritonRelease(
        "1.18.0", "3.10.12", "12.5.0.23", "555.42.02", "10.0.1", least_driver="545"
    ),
    "24.07": TritonRelease("1.18.1", "3.10.12", "12.5.1", "555.42.06", "10.1.0"),
    "24.08": TritonRelease("1.18.1", "3.10.12", "12.6.0.022", "560.35.03", "10.3.0"),
    "24.09": TritonRelease("1.19.2", "3.10.12", "12.6.1.006", "560.35.03", "10.4.0"),
    "24.10": TritonRelease(
        "1.19.2", "3.10.12", "12.6.2.004", "560.35.03", "10.4.0", least_driver="560"
    ),
    "24.11": TritonRelease("1.19.2", "3.12.3", "12.6.3.001", "560.35.05", "10.6.0"),
    "24.12": TritonRelease("1.20.1", "3.12.3", "12.6.3.004", "560.35.05", "10.7.0"),
    "25.01": TritonRelease("1.20.1", "3.12.3", "12.8.0.038", "570.86.10", "10.8.0.43"),
    "25.02": TritonRelease("1.20.1", "3.12.3", "12.8.0.038", "570.86.10", "10.8.0.43"),
    "25.03": TritonRelease(
        "1.21.0", "3.12.3", "12.8.1.012", "570.124.06", "10.9.0.34", least_driver="560"
    ),
    "25.04": TritonRelease("1.21.0", "3.12.3", "12.9.0.036", "575.51.02", "10.9.0.34"),
    "25.05": TritonRelease("1.22.0", "3.12.3", "12.9.0.043", "575.51.03", "10.9.0.34"),
    "25.06": TritonRelease("1.22.0", "3.12.3", "12.9.0.043", "575.51.03", "10.10.0.31"),
    "25.07": TritonRelease("1.22.0", "3.12.3", "12.9.0.043", "575.51.03", "10.10.0.31"),
    "25.08": TritonRelease(
        "1.23.0", "3.12.3", "13.0.1.012", "580.82.07", "10.11.0.33", least_driver="575"
    ),
    "25.09": TritonRelease("1.23.0", "3.12.3", "13.0.1.012", "580.82.07", "10.11.0.33"),
    "25.10": TritonRelease("1.23.1", "3.12.3", "13.0.2.006", "580.95.05", "10.11.0.33"),
    "25.11": TritonRelease("1.23.2", "3.12.3", "13.0.2.006", "580.95.05", "10.13.3.9"),
    "25.12": TritonRelease("1.23.2", "3.12.3", "13.1.0.036", "590.44.01", "10.13.3.9"),
    "26.01": TritonRelease("1.23.2", "3.12.3", "13.1.1.006", "590.48.01", "10.13.3.9"),
    "26.02": TritonRelease(
        "1.24.1", "3.12.3", "13.1.1.006", "590.48.01", "10.13.3.9", least_driver="575"
    ),
    "26.03": TritonRelease("1.24.2", "3.12.3", "13.2.0.046", "595.45.04", "10.14.1.48"),
    "26.04": TritonRelease("1.24.4", "3.12.3", "13.2.1.009", "595.58.03", "10.14.1.48"),
    "26.05": TritonRelease("1.24.4", "3.12.3", "13.2.1.009", "595.58.03", "10.14.1.48"),
    "26.06": TritonRelease("1.24.4", "3.12.3", "13.3.0.035", "610.43.02", "10.14.1.48"),
    "26.07": TritonRelease("1.27.0", "3.12.3", "13.3.0.035", "610.43.02", "10.14.1.48"),
    "26.08": TritonRelease("1.28.0", "3.12.3", "13.4.1.012", "615.61"),
    "26.10": TritonRelease(cuda="13.4.3.001"),
}
"""By release, the oldest first. Not every release has a row."""

ONNX_RUNTIME: dict[str, str] = {
    release: held.onnx_runtime for release, held in RELEASES.items() if held.onnx_runtime
}
"""Release -> version. Releases later than the last have at least that."""

OLDEST = "24.05"
"""Earlier releases' ONNX Runtime (before 1.18) reads no file of ONNX IR version 10."""


def onnx_runtime_of(release: str) -> str:
    """The version in a release's container; the last known one for later releases."""
    return ONNX_RUNTIME.get(release) or ONNX_RUNTIME[max(ONNX_RUNTIME)]
