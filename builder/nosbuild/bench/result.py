"""What a load found out, as data."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nosbuild.report.units import counted, milliseconds, significant

STEADY = 0.3
"""How far apart the rates of the fastest and the slowest fifth of the time may be, as a share of
their mean, for a figure to be called steady. The range of five values is 2.3 times their standard
deviation, on average: at 0.3 the mean of the five is known to about 11 % (at 95 %)."""
_BEHIND = 0.95
"""Share of the offered rate below which a server does not keep up with it."""
_LATE_MS = 5.0
"""Requests of an open loop that leave later than this were held up by the load generator."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latencies(_Frozen):
    """Of every answer that was counted, in milliseconds; percentiles by linear interpolation."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Failed(_Frozen):
    """Requests that got no answer, by the kind of error."""

    count: int
    example: str
    """The message of one of them."""


class ServerSide(_Frozen):
    """What Triton counted meanwhile; times are means for one request, in milliseconds."""

    requests: int
    """Answered, with an error too, whoever sent them."""
    items: int
    executions: int
    """Runs of the model: fewer than requests where Triton joined them."""
    queue_ms: float
    compute_input_ms: float
    compute_infer_ms: float
    compute_output_ms: float
    executions_by_batch_size: Mapping[int, int]
    """Items in a run -> how many runs."""
    from_cache: int = 0
    """Requests that the response cache answered."""

    @property
    def total_ms(self) -> float:
        """All phases; what a request takes beyond is the way there and back, and the client."""
        return (
            self.queue_ms + self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms
        )

    @property
    def items_a_run(self) -> float:
        """Mean batch."""
        return self.items / self.executions if self.executions else 0.0


class Machine(_Frozen):
    """From which the load came; the server's too, where that ran on it."""

    processor: str
    cpus: int
    """That this process may use."""
    memory_bytes: int


class LevelResult(_Frozen):
    """One load."""

    name: str
    """``8 callers``, ``100/s``."""
    kind: Literal["closed", "open"]
    concurrency: int
    """Of a closed loop; 0 in an open one."""
    rate: float
    """Requests a second that were to be sent; 0 in a closed loop."""
    arrivals: str
    processes: int
    """That made the load."""
    batch: int
    """Items in a request."""
    seconds: float
    """For how long requests were sent."""
    sent: int
    answered: int
    unsent: int = 0
    """Of the schedule, since the server was gone."""
    requests_per_second: float
    items_per_second: float
    windows: tuple[float, ...]
    """Requests a second in each fifth of the time."""
    latency_ms: Latencies | None
    """None where nothing was answered. In an open loop from the moment at which the request should
    have left."""
    departure_lag_ms: Latencies | None = None
    """Of an open loop: how much later than that requests left."""
    failed: Mapping[str, Failed] = Field(default_factory=dict)
    """Kind of error -> requests that it took."""
    server: ServerSide | None = None
    """None where the server could not be asked."""
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> int:
        """Requests without an answer."""
        return sum(failed.count for failed in self.failed.values())

    @property
    def is_steady(self) -> bool:
        """True where the rate of a closed loop was about the same all the time.

        Few answers scatter more, by the root of their number; 4 of those is the range of five that
        chance exceeds once in twenty times (the studentized range has 3.9 there).
        """
        mean = sum(self.windows) / len(self.windows)
        if self.kind == "open" or not mean:
            return True
        answers = mean * self.seconds / len(self.windows)
        return max(self.windows) - min(self.windows) <= max(STEADY, 4 / sqrt(answers)) * mean

    @property
    def keeps_up(self) -> bool:
        """False where the server answered fewer requests than the open loop sent."""
        if self.kind == "closed" or not self.answered:
            return True
        return self.requests_per_second >= _BEHIND * self.sent / self.seconds

    def __str__(self) -> str:
        latency = self.latency_ms
        times = "no answer"
        if latency:
            times = f"p50 {milliseconds(latency.p50)}, p99 {milliseconds(latency.p99)}"
        rate = f"{significant(self.requests_per_second)} requests/s"
        return f"{self.name}: {rate}, {times}, {self.failures:,} failed"

    def __repr__(self) -> str:
        return f"<LevelResult {self}>"

    @property
    def kept_schedule(self) -> bool:
        """False where the load generator itself held requests up."""
        return self.departure_lag_ms is None or self.departure_lag_ms.p99 <= _LATE_MS


class BenchResult(_Frozen):
    """A model under one load after the other."""

    model: str
    version: str
    url: str
    inputs: str
    """What was sent: golden samples, or random inputs and why."""
    real_inputs: bool
    transport: str
    """By which way tensors went, and why where something else was asked for."""
    batch: int
    warmup_seconds: float
    levels: tuple[LevelResult, ...]
    failure: str = ""
    """Why it ended before its time."""
    notes: tuple[str, ...] = ()
    """What is to be minded about all loads."""
    measured_at: str
    """When it began, in UTC, as ISO 8601."""
    machine: Machine
    versions: Mapping[str, str]
    """``nosbuild``, ``nosclient`` and ``triton``; empty where it is not known."""

    def __str__(self) -> str:
        head = f"{self.model} v{self.version} at {self.url}, {self.inputs}"
        ends = [*self.notes, *([self.failure] if self.failure else [])]
        return "\n".join([head, *(f"  {line}" for line in (*self.levels, *ends))])

    def __repr__(self) -> str:
        return f"<BenchResult {self}>"

    def headline(self) -> str:
        """The result in one sentence."""
        done = [level for level in self.levels if level.latency_ms]
        if not done:
            return f"{self.model}: not one request was answered"
        best = max(done, key=lambda level: level.items_per_second)
        latency = best.latency_ms
        assert latency is not None
        said = (
            f"{self.model}: {significant(best.items_per_second)} items/s with {best.name}, "
            f"p50 {milliseconds(latency.p50)}, p99 {milliseconds(latency.p99)}"
        )
        if len(done) > 1:
            said += f" (best of {len(done)} loads)"
        failures = sum(level.failures for level in self.levels)
        if failures:
            sent = sum(level.sent for level in self.levels)
            said += f"; {failures:,} of {counted(sent, 'request')} failed"
        return said

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {**self.model_dump(mode="json"), "headline": self.headline()}
