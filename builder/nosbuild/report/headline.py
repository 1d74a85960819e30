"""The published variant and those beside it go in; what was gained, in plain words, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nosbuild.report.units import told_apart

if TYPE_CHECKING:
    from nosbuild.report.build_report import VariantReport
    from nosbuild.verify.proof import Finding

_PLAIN = {"onnx-fp32": "fp32 ONNX", "pytorch-eager": "PyTorch", "scikit-learn": "scikit-learn"}
WIDE = 0.3
"""An interval this wide, in parts of its ratio, makes a factor a rough one."""
NO_DIFFERENCE = 0.05
"""A gain below this is none."""


def headline(
    published: VariantReport, baseline: VariantReport, source: VariantReport | None
) -> str:
    """``onnx-int8-dynamic is 2.2x faster than fp32 ONNX and 4.1x faster than PyTorch at cosine
    0.9911 (bar 0.99)``.
    """
    ours = _over_baseline(published)
    if ours is None:
        return f"{published.name} was built, but neither proven nor measured here"
    gains = []
    for other in (baseline, source):
        theirs = _over_baseline(other) if other is not None else None
        if other is not None and theirs is not None and other.name != published.name:
            gain = 1.0 if other is baseline and _within_noise(published) else ours / theirs
            about = "about " if _is_wide(other) else ""
            gains.append(about + _compared(gain, _PLAIN.get(other.name, other.name)))
    said = f" is {' and '.join(gains)}" if gains else " is published"
    return (
        f"{published.name}{said}{quality_kept(published.proof.findings if published.proof else ())}"
    )


def _over_baseline(row: VariantReport) -> float | None:
    """Its speed in parts of the baseline's, paired by round."""
    if row.speed is None or row.speed.chosen is None:
        return None
    return row.speed.over_baseline.value if row.speed.over_baseline else 1.0


def _is_wide(row: VariantReport) -> bool:
    """Whether its own speed was measured too roughly to quote a factor of it."""
    over = row.speed.over_baseline if row.speed else None
    return over is not None and over.high - over.low > WIDE * over.value


def _within_noise(row: VariantReport) -> bool:
    over = row.speed.over_baseline if row.speed else None
    return over is not None and over.low <= 1 <= over.high


def _compared(gain: float, other: str) -> str:
    if abs(gain - 1) < NO_DIFFERENCE:
        return f"as fast as {other}"
    if gain > 1:
        return f"{_rounded(gain)}x faster than {other}"
    return f"{_rounded(1 / gain)}x slower than {other}"


def _rounded(gain: float) -> str:
    return f"{gain:.1f}" if gain < 10 else f"{gain:,.0f}"


def quality_kept(findings: Sequence[Finding]) -> str:
    """`` at cosine 0.9911 (bar 0.99), and 1 more bar kept``; empty where nothing was compared."""
    if not findings:
        return ""
    if within := _within(findings[0]):
        return f", within {within}"
    value, mark = _value_and_bar(findings[0])
    return f" at {value} (bar {mark}){_more(findings)}"


def quality_beside(findings: Sequence[Finding]) -> str:
    """`` (cosine 0.9911, bar 0.99, and 1 more bar kept)``; empty where nothing was compared."""
    if not findings:
        return ""
    if within := _within(findings[0]):
        return f" (within {within}{_more(findings)})"
    value, mark = _value_and_bar(findings[0])
    return f" ({value}, bar {mark}{_more(findings)})"


def _within(finding: Finding) -> str:
    """``allclose(...)``; empty for any other metric."""
    bar, excess, _ = finding.bar.partition(" excess")
    return bar if excess else ""


def _value_and_bar(finding: Finding) -> tuple[str, str]:
    metric, _, bar = finding.bar.partition(" ")
    mark = bar.split()[-1]
    return f"{metric} {told_apart(finding.value, float(mark), digits=4)}", mark


def _more(findings: Sequence[Finding]) -> str:
    others = len(findings) - 1
    return f", and {others} more bar{'s' * (others > 1)} kept" if others else ""
