"""The steps that make one artifact from another, as a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Maker:
    """A step of a recipe."""

    says: str
    """What it does, for people who wait."""
    needs_samples: bool = False
    """Calibrates on the spec's samples."""
    rescued: bool = False
    """Where its result misses a bar, nodes can be kept as they were."""
    makes_plan: bool = False
    """A TensorRT engine, for the tensors and sizes of the spec."""


MAKERS: dict[str, Maker] = {
    "slim": Maker("simplifying the graph"),
    "fuse": Maker("fusing operators for ONNX Runtime"),
    "fp16": Maker("converting to half precision", rescued=True),
    "bf16": Maker("converting to bfloat16"),
    "smooth": Maker("moving wide channels into weights", needs_samples=True),
    "int8-dynamic": Maker("quantising weights to 8 bits", needs_samples=True, rescued=True),
    "int8-static": Maker("calibrating for 8 bits", needs_samples=True, rescued=True),
    "int8-tensorrt": Maker("calibrating for TensorRT", needs_samples=True),
    "tensorrt": Maker("building a TensorRT engine", makes_plan=True),
}
"""Step -> what it is; each is a key of ``keys.STEPS`` and a function of ``steps.functions``."""
