"""The newest ONNX file that an ONNX Runtime loads, by its version.

Measured: an Add in every IR version and opset was given to each of the wheels on PyPI (1.17.3,
1.18.0, 1.19.2, 1.20.1, 1.21.0, 1.22.0, 1.23.2, 1.24.4, 1.27.0, 1.28.0, 1.32.0).
"""

from __future__ import annotations

LIMITS_SINCE: dict[tuple[int, int], tuple[int, int]] = {
    (1, 17): (9, 20),
    (1, 18): (10, 21),
    (1, 21): (10, 22),
    (1, 23): (11, 23),
    (1, 24): (13, 25),
    (1, 27): (13, 26),
    (1, 32): (14, 28),
}
"""First minor version -> newest IR version, newest opset; they hold until the next row."""


def onnx_limits(onnx_runtime: str) -> tuple[int, int]:
    """The newest IR version and the newest opset of ai.onnx that a version loads."""
    major, minor = (int(part) for part in onnx_runtime.split(".")[:2])
    fitting = [first for first in LIMITS_SINCE if first <= (major, minor)]
    return LIMITS_SINCE[max(fitting, default=min(LIMITS_SINCE))]
