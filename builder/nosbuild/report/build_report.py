"""Everything that a build found out about a model's variants, as data: ``report.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nosbuild.verify.measure import Measurement
from nosbuild.verify.memory import Memory
from nosbuild.verify.proof import Proof

Verdict = Literal["published", "proven", "refused", "skipped", "unproven", "source"]
"""``proven``: kept to its bars, but another was chosen. ``refused``: missed them, or could not be
made. ``skipped``: not tried. ``unproven``: made, but nothing here can run it. ``source``: the
original itself, which every variant is judged against.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VariantReport(_Frozen):
    """One row of the table."""

    name: str
    """``onnx-int8-dynamic``."""
    precision: str
    """fp32, fp16, bf16 or int8."""
    backend: str
    """Triton's name of the backend that would serve it; empty for the source."""
    accelerator: str = ""
    """``cuda`` or ``tensorrt``: ONNX Runtime's execution provider on a GPU; empty for none."""
    how: str = ""
    """How it was made, one line."""
    bytes: int | None = None
    """Size of the artifact; None where there is none."""
    proof: Proof | None = None
    speed: Measurement | None = None
    memory: Memory | None = None
    """Of one instance; of the published variant alone."""
    verdict: Verdict
    reason: str = ""
    """Why, in a sentence; empty only for the source."""


class BuildReport(_Frozen):
    """All variants of one build, the published one among them."""

    format: int = 1
    model: str
    description: str = ""
    published: str
    """Name of the variant that was published."""
    headline: str
    """What was gained, in one sentence of plain words."""
    objective: str
    """``throughput``, ``latency``, or ``throughput while p99 <= 20 ms``."""
    target: str
    """``cpu``, ``gpu``, or ``triton:26.09``."""
    typical_batch: int
    """The batch size whose throughput was compared."""
    samples: int
    real_samples: bool
    """False where the inputs were drawn at random."""
    variants: tuple[VariantReport, ...]
    """In the order they were planned: the source first, then from the most to the least precise."""
    host: dict[str, Any]
    """Processor, processors, memory, Python."""
    libraries: dict[str, str]
    nosbuild: str
