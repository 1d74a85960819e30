"""What replaying golden samples through a server found, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Transport = Literal["HTTP", "gRPC", "shared memory"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServedFinding(_Frozen):
    """One bar on one output: the worst value that came back one way."""

    output: str
    bar: str
    """The bar in words, e.g. ``cosine >= 0.99``."""
    value: float
    """Worst value over all answers; of a share (``agreement``) that among the golden samples."""
    holds: bool
    """Of a share: no more misses among the golden samples than the bar lets among all samples
    that the build was proven on."""
    sample: int
    """Index of the golden sample with the worst value."""
    higher_is_better: bool

    def describe(self) -> str:
        """``y: cosine >= 0.99, worst 0.87 (golden sample 3)``."""
        return f"{self.output}: {self.bar}, worst {self.value:.6g} (golden sample {self.sample})"

    def is_worse_than(self, other: ServedFinding) -> bool:
        """True where this value of the same bar is the worse one; NaN is the worst."""
        if math.isnan(self.value) or math.isnan(other.value):
            return math.isnan(self.value)
        above = self.value > other.value
        return self.value < other.value if self.higher_is_better else above


class Way(_Frozen):
    """All golden samples, over one transport, one by one or together."""

    transport: Transport
    together: bool
    """Sent concurrently, so that the server may join them into batches."""
    requests: int
    """Of one item each; together, samples are sent again until batches form."""
    runs: int
    """How often the server ran the model for them: fewer than requests where it joined them."""
    from_cache: int = 0
    """Requests that Triton's response cache answered, so that the model did not."""
    largest_batch: int
    findings: tuple[ServedFinding, ...]
    failure: str = ""
    """Why a request was not answered, or not with the right shapes; the rest was not sent."""
    seconds: float

    @property
    def name(self) -> str:
        """``gRPC together``."""
        return f"{self.transport} {'together' if self.together else 'alone'}"

    @property
    def joined(self) -> bool:
        """True where the server ran the model for several requests at once."""
        return self.runs < self.requests - self.from_cache

    @property
    def passed(self) -> bool:
        """True where every answer came and kept to every bar."""
        return not self.failure and all(finding.holds for finding in self.findings)

    def refusal(self) -> list[str]:
        """Why it did not pass, a line each."""
        missed = [f"{finding.describe()}: missed" for finding in self.findings if not finding.holds]
        return [*([self.failure] if self.failure else []), *missed]


class ServedProof(_Frozen):
    """A version of a model, through the server."""

    model: str
    version: int
    variant: str
    samples: int
    """Golden samples replayed."""
    ways: tuple[Way, ...] = ()
    skipped: Mapping[str, str] = Field(default_factory=dict)
    """Transport -> why it was not tried."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside the verdict: model.yaml moved on, nothing was joined."""
    failure: str = ""
    """Why it could not be served at all."""
    log: str = ""
    """Triton's log; kept only where something failed."""

    @property
    def passed(self) -> bool:
        """True where every way passed."""
        return not self.failure and bool(self.ways) and all(way.passed for way in self.ways)

    def refusal(self) -> str:
        """Why it is not proven, a line each; empty where it passed."""
        ways: dict[str, list[str]] = {}
        for way in self.ways:
            for line in way.refusal():
                ways.setdefault(line, []).append(way.name)
        lines = [f"{line} (over {', '.join(names)})" for line, names in ways.items()]
        return "\n".join([*([self.failure] if self.failure else []), *lines])

    def worst(self) -> list[tuple[ServedFinding, Way]]:
        """Of every bar the worst value over all ways, and the way where it was found."""
        found: dict[tuple[str, str], tuple[ServedFinding, Way]] = {}
        for way in self.ways:
            for finding in way.findings:
                key = (finding.output, finding.bar)
                if key not in found or finding.is_worse_than(found[key][0]):
                    found[key] = (finding, way)
        return list(found.values())

    def as_json(self) -> dict[str, Any]:
        """The same for machines, the verdict in it."""
        fields = self.model_dump(mode="json")
        return {**fields, "passed": self.passed, "headline": self.headline()}

    def headline(self) -> str:
        """The result in one sentence."""
        name = f"{self.model} v{self.version}"
        if self.failure:
            return f"{name}: not proven, it cannot be served: {self.failure}"
        tried = f"{name}: {_count(self.samples, 'golden sample')}, {_count(len(self.ways), 'way')}"
        if not self.passed:
            bad = sum(not way.passed for way in self.ways)
            return f"{tried}, {bad} of them not within the bars"
        several = len({finding.output for finding, _ in self.worst()}) > 1
        bars = [
            f"{f'{finding.output}: ' * several}{_within(finding, way)}"
            for finding, way in self.worst()
        ]
        return f"{tried}, all within {'; '.join(bars)}"


def _within(finding: ServedFinding, way: Way) -> str:
    allclose, _, excess = finding.bar.partition(" excess ")
    # How far an answer stays below that limit says nothing to people.
    return allclose if excess else f"{finding.bar} (worst {finding.value:.4g} over {way.name})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
