"""Variants with their proofs go in; one axis on which their errors compare comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nosbuild.report.bar_use import bar_of, largest_share, share_used
from nosbuild.report.build_report import VariantReport
from nosbuild.report.scale import Scale, linear, logarithmic
from nosbuild.report.units import percent, round_number, told_apart

LEAST, MOST = 1e-4, 100.0
"""Shares of the bar between which the logarithmic axis tells errors apart."""
_SPREAD = 30.0
"""Ratio of the largest to the smallest share from which on an axis is logarithmic."""
_SLOT = 26.0
"""Drawing units kept at an end of the axis for what lies beyond it."""


@dataclass(frozen=True)
class ErrorAxis:
    """Larger errors stand further right."""

    title: str
    note: str
    """What the axis leaves out; empty where it shows every bar."""
    errors: dict[str, float]
    """Variant -> its value on the axis; variants without one are not drawn."""
    bar: float
    """Place of the bar, in drawing units."""
    scale: Scale
    below: float | None
    """Place of what is too small for the scale; None where nothing is."""
    beyond: float | None
    """Place of what is too large for the scale, or not a number; None where nothing is."""
    is_share: bool

    def at(self, variant: str) -> float:
        """Where a variant with a value stands, in drawing units."""
        value = self.errors[variant]
        if math.isnan(value) or (self.is_share and value > MOST):
            return self.beyond if self.beyond is not None else self.scale.end
        if self.scale.log and value < LEAST:
            return self.below if self.below is not None else self.scale.start
        return self.scale.at(value)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts, left to right."""
        text = percent if self.is_share else round_number
        ticks = [(self.scale.at(value), text(value)) for value in self.scale.ticks()]
        if self.below is not None:
            ticks.insert(0, (self.below, f"< {percent(LEAST)}"))
        if self.beyond is not None:
            ticks.append((self.beyond, "beyond"))
        return ticks

    def describe(self, variant: str) -> str:
        """A variant's value in words."""
        value = self.errors[variant]
        return f"{percent(value)} of its bar" if self.is_share else told_apart(value)


def error_axis(variants: Sequence[VariantReport], start: float, end: float) -> ErrorAxis | None:
    """Choose it: the share of the bar that an error used, or one metric as it is.

    None where no proof has a bar. The source stands at no error.
    """
    findings = [finding for v in variants if v.proof for finding in v.proof.findings]
    if not findings:
        return None
    unknown = sorted({bar_of(f).metric for f in findings if share_used(f) is None})
    if all(share_used(finding) is None for finding in findings):
        return _one_metric(variants, start, end)
    errors = {v.name: s for v in variants if v.proof and (s := largest_share(v.proof)) is not None}
    errors |= {v.name: 0.0 for v in variants if v.verdict == "source"}
    note = f"Not on this axis: {', '.join(unknown)}." if unknown else ""
    return _shares(errors, note, start, end)


def _shares(errors: dict[str, float], note: str, start: float, end: float) -> ErrorAxis:
    beyond = any(math.isnan(value) or value > MOST for value in errors.values())
    shown = [value for value in errors.values() if LEAST <= value <= MOST]
    log = bool(shown) and max(1.0, *shown) / min(1.0, *shown) > _SPREAD
    below = log and any(value < LEAST for value in errors.values())
    first, last = start + _SLOT * below, end - _SLOT * beyond
    scale = logarithmic([*shown, 1.0], first, last) if log else linear([*shown, 1.0], first, last)
    return ErrorAxis(
        title="error, share of its bar used up",
        note=note,
        errors=errors,
        bar=scale.at(1.0),
        scale=scale,
        below=start + _SLOT / 4 if below else None,
        beyond=end if beyond else None,
        is_share=True,
    )


def _one_metric(variants: Sequence[VariantReport], start: float, end: float) -> ErrorAxis:
    """The first bar, as it is: nothing says what share of it an error uses."""
    first = next(f for v in variants if v.proof for f in v.proof.findings)
    errors = {
        v.name: finding.value
        for v in variants
        if v.proof
        for finding in v.proof.findings
        if (finding.output, finding.bar) == (first.output, first.bar)
    }
    bar = bar_of(first)
    finite = [value for value in errors.values() if math.isfinite(value)]
    beyond = len(finite) < len(errors)
    last = end - _SLOT * beyond
    ends = (last, start) if bar.higher_is_better else (start, last)
    scale = linear([*finite, bar.threshold], *ends, zero=False)
    return ErrorAxis(
        title=f"{bar.metric} of {first.output}",
        note="",
        errors=errors,
        bar=scale.at(bar.threshold),
        scale=scale,
        below=None,
        beyond=end if beyond else None,
        is_share=False,
    )
