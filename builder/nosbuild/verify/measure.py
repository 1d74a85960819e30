"""How fast a variant is on this machine, as data; figures mean something only beside each other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Latency(BaseModel):
    """One batch size, one session with all threads."""

    model_config = ConfigDict(frozen=True)
    batch: int
    median_ms: float
    p99_ms: float

    @property
    def items_per_second(self) -> float:
        """Throughput of one session that does nothing else."""
        return 1000 * self.batch / self.median_ms


class Throughput(BaseModel):
    """Instances x threads, all busy at once."""

    model_config = ConfigDict(frozen=True)
    instances: int
    threads: int
    batch: int
    items_per_second: float
    p99_ms: float


class Ratio(BaseModel):
    """Speed of a variant over that of another, from paired turns of one run: throughput, or the
    inverse of latency where the objective is that.
    """

    model_config = ConfigDict(frozen=True)
    value: float
    """Median over the rounds."""
    low: float
    high: float
    """Confidence interval of the median, from its order statistics."""
    confidence: float
    """Of that interval: at least 0.9 with five rounds or more."""
    rounds: int


class Measurement(BaseModel):
    """How fast a variant is here, and the instances chosen for it."""

    model_config = ConfigDict(frozen=True)
    latencies: tuple[Latency, ...]
    """By batch size, ascending; one session with all threads."""
    throughputs: tuple[Throughput, ...]
    """By placement, at the typical batch."""
    instances: int
    threads: int
    """The placement chosen: one of ``throughputs``."""
    why: str
    over_baseline: Ratio | None = None
    """Its speed over that of onnx-fp32, measured in turns with it; None for itself."""

    @property
    def chosen(self) -> Throughput | None:
        """The row of the placement chosen; None where nothing was measured."""
        placement = (self.instances, self.threads)
        rows = (row for row in self.throughputs if (row.instances, row.threads) == placement)
        return next(rows, None)
