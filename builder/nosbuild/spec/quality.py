"""The ``quality`` section -> Quality: how near a variant must come to the original."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.references import CALLABLE_PATTERN, check_callable
from nosbuild.spec.yaml_source import KeyPath, type_name
from nosbuild.tensors import DType


@dataclass(frozen=True)
class Metric:
    """One bar a spec may set."""

    name: str
    meaning: str
    low: float
    low_allowed: bool
    high: float = math.inf
    """Always allowed."""

    @property
    def interval(self) -> str:
        """The legal values in words."""
        low = f"{'at least' if self.low_allowed else 'above'} {self.low:g}"
        return low if math.isinf(self.high) else f"{low} and at most {self.high:g}"

    def allows(self, bar: float) -> bool:
        """True for a legal value."""
        above = bar >= self.low if self.low_allowed else bar > self.low
        return above and bar <= self.high and math.isfinite(bar)


AGREEMENT = "agreement"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cosine", "Lowest cosine similarity of an item's output.", 0, False, 1),
        Metric("top1_agreement", "Fraction of items with the same largest element.", 0, False, 1),
        Metric(AGREEMENT, "Fraction of equal elements; integers and strings.", 0, False, 1),
        Metric("atol", "Absolute part of the tolerance, as in numpy.allclose.", 0, True),
        Metric("rtol", "Relative part of the tolerance, as in numpy.allclose.", 0, True),
        Metric("relative", "Max absolute error over max absolute of the reference.", 0, False),
        Metric("p999_abs", "99.9th percentile of the absolute error.", 0, False),
    )
}

DEFAULT_BARS = {"relative": 1e-3}
"""For float outputs where a spec sets no bar."""
DEFAULT_EXACT_BARS = {AGREEMENT: 1.0}
"""For every other output where a spec sets no bar."""


@dataclass(frozen=True)
class Quality:
    """Bars that every published variant has passed."""

    flat: dict[str, float] = field(default_factory=dict)
    """Bars for every output without bars of its own."""
    nested: dict[str, dict[str, float]] = field(default_factory=dict)
    """Output name -> its own bars, which replace the flat ones."""

    @property
    def declared(self) -> bool:
        """False where the spec sets no bar, so that the defaults hold."""
        return bool(self.flat or self.nested)

    def bars_for(self, output: str, dtype: DType | None = None) -> dict[str, float]:
        """Metric -> bar for one output.

        A metric is a key of ``METRICS`` or ``file.py:callable`` (its value must reach the bar).

        Args:
            output: the output's name.
            dtype: its dtype where known: of the bars set for all outputs only those that suit
                it are kept; integers, bools and strings get ``agreement`` where none is set.
        """
        if output in self.nested:
            return dict(self.nested[output])
        if dtype is None:
            return dict(self.flat or DEFAULT_BARS)
        bars = {metric: bar for metric, bar in self.flat.items() if suits(metric, dtype)}
        return bars or dict(DEFAULT_BARS if dtype.is_float else DEFAULT_EXACT_BARS)

    def dump(self) -> dict[str, Any]:
        """The section as a spec writes it."""
        return {**self.flat, **self.nested}


def suits(metric: str, dtype: DType) -> bool:
    """True where a bar set for all outputs says something about outputs of that dtype.

    A custom metric set for all outputs is for the floats.
    """
    return dtype.is_float is not (metric == AGREEMENT)


def parse_quality(value: object, folder: Path) -> Quality | list[Finding]:
    """Read the section, or say everything that is wrong with it."""
    if not isinstance(value, dict):
        remedy = "write bars, e.g. quality: {cosine: 0.99}"
        return [Finding(("quality",), f"is {type_name(value)}, not a mapping", remedy)]
    flat: dict[str, float] = {}
    nested: dict[str, dict[str, float]] = {}
    findings: list[Finding] = []
    for key, bar in value.items():
        if isinstance(bar, dict) and key not in METRICS:
            nested[key] = bar
            if not bar:
                remedy = "write bars, e.g. {cosine: 0.99}, or remove it"
                findings.append(Finding(("quality", key), "has no bar", remedy))
            for metric, value_ in bar.items():
                findings += _bar_findings(("quality", key, metric), metric, value_, folder)
        else:
            flat[key] = bar
            findings += _bar_findings(("quality", key), key, bar, folder)
    return findings or Quality(flat, nested)


def output_findings(
    quality: Quality, dtypes: Mapping[str, DType | None], *, complete: bool = True
) -> Iterator[Finding]:
    """What is wrong with bars set for single outputs.

    Args:
        quality: the bars.
        dtypes: output name -> its dtype, None where that is not known yet.
        complete: whether these are all outputs.
    """
    for name, bars in quality.nested.items():
        if name not in dtypes:
            if complete:
                remedy = did_you_mean(name, [*dtypes, *METRICS], f"{one_of(dtypes)}; or a metric")
                yield Finding(("quality", name), f"there is no output {name!r}", remedy)
            continue
        dtype = dtypes[name]
        for metric in bars:
            if metric in METRICS and dtype is not None and not suits(metric, dtype):
                found = f"does not suit {name}, which is {dtype.name}"
                good = "relative: 1e-3" if dtype.is_float else "agreement: 1.0"
                yield Finding(("quality", name, metric), found, f"write e.g. {good}")


def _bar_findings(key: KeyPath, name: str, bar: object, folder: Path) -> Iterator[Finding]:
    if ":" in name:
        yield from check_callable(key, name, folder, "metrics.py:f1")
    elif name not in METRICS:
        remedy = did_you_mean(name, METRICS, f'{one_of(METRICS)}, or "file.py:callable"')
        yield Finding(key, f"unknown metric {name!r}", remedy)
        return
    if not isinstance(bar, (int, float)) or isinstance(bar, bool) or math.isnan(bar):
        found = f"{bar!r} is {type_name(bar)}, not a bar" if bar is not None else "has no bar"
        yield Finding(key, found, "write a number")
    elif name in METRICS and not METRICS[name].allows(bar):
        metric = METRICS[name]
        yield Finding(key, f"{bar:g} is out of range", f"write a number {metric.interval}")


def _bar_schema(metric: Metric) -> dict[str, Any]:
    limits: dict[str, Any] = {"minimum" if metric.low_allowed else "exclusiveMinimum": metric.low}
    if math.isfinite(metric.high):
        limits["maximum"] = metric.high
    return {"type": "number", "description": metric.meaning, **limits}


_BARS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: _bar_schema(metric) for name, metric in METRICS.items()},
    "patternProperties": {CALLABLE_PATTERN: {"type": "number"}},
    "additionalProperties": False,
}

SCHEMA: dict[str, Any] = {
    **_BARS_SCHEMA,
    "description": "Bars for all outputs, or by output name; relative: 1e-3 where absent.",
    "additionalProperties": _BARS_SCHEMA,
}
"""JSON Schema of the section."""
