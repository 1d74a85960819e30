"""Python in NVIDIA's Triton containers, by release.

Source: triton-inference-server/server, docs/introduction/compatibility.md, "Container Name:
vllm-python-py3", whose image is built on the plain one.
"""

from __future__ import annotations

PYTHON_SINCE: dict[str, str] = {
    "24.04": "3.10",
    "24.11": "3.12",
}
"""First release -> minor version; it holds until the next row."""


def python_of(release: str) -> str:
    """The minor version in a release's container, such as ``3.12``."""
    fitting = [first for first in PYTHON_SINCE if first <= release]
    return PYTHON_SINCE[max(fitting, default=min(PYTHON_SINCE))]
