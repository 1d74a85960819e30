"""``model.onnx`` in float32 goes in; the same in bfloat16, borders apart, comes out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nosbuild.optimize.fp16 import in_half
from nosbuild.optimize.half import BFLOAT16
from nosbuild.optimize.made import Made


def bf16(source: Path, out: Path, keep: Collection[str] = ()) -> Made:
    """Write ``out/model.onnx``; inputs and outputs keep their types.

    For GPUs: ONNX Runtime's CPU kernels do not compute in bfloat16. Arguments and errors as for
    ``fp16``.
    """
    return in_half(source, out, keep, BFLOAT16)
