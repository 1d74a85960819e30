"""A finding goes in; how much of its bar the error used up comes out, so that metrics compare."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nosbuild.verify.metrics import ERRORS, SHARES
from nosbuild.verify.proof import Finding, Proof

_BAR = re.compile(r"(?P<metric>.+) (?P<sign>[<>]=) (?P<threshold>\S+)")
_ATOL_ALONE = re.compile(r"allclose\(atol=(?P<atol>[^,)]+)\) excess")
_PERFECT_AT_ONE = SHARES | {"cosine"}


@dataclass(frozen=True)
class Bar:
    """What a finding's bar says."""

    metric: str
    higher_is_better: bool
    threshold: float


def bar_of(finding: Finding) -> Bar:
    """Read it back from its words.

    Raises:
        ValueError: those are not the words of a bar.
    """
    found = _BAR.fullmatch(finding.bar)
    if found is None:
        raise ValueError(f"not a bar: {finding.bar!r}")
    return Bar(found["metric"], found["sign"] == ">=", float(found["threshold"]))


def share_used(finding: Finding) -> float | None:
    """Distance from a perfect value, over the distance that the bar allows; 1 is at the bar.

    NaN where the value is; infinite where the bar allows no distance at all and there is some.
    None where it is not known: a metric of the user's own has no perfect value that we know of,
    and an excess over a relative tolerance does not tell the error.
    """
    bar = bar_of(finding)
    if bar.metric in _PERFECT_AT_ONE:
        return _share(1 - finding.value, 1 - bar.threshold)
    if bar.metric in ERRORS:
        return _share(finding.value, bar.threshold)
    if atol := _ATOL_ALONE.fullmatch(bar.metric):
        return _share(finding.value + float(atol["atol"]), float(atol["atol"]))
    return None


def _share(distance: float, allowed: float) -> float:
    if math.isnan(distance):
        return math.nan
    distance = max(0.0, distance)  # a cosine may round to a little over 1
    if allowed > 0:
        return distance / allowed
    return math.inf if distance > 0 else 0.0


def tightest(findings: Iterable[Finding]) -> Finding | None:
    """The one that says most: missed before kept, then the largest known share of its bar."""

    def strain(finding: Finding) -> tuple[bool, float]:
        share = share_used(finding)
        if share is None:
            return not finding.holds, -1.0
        return not finding.holds, math.inf if math.isnan(share) else share

    return max(findings, key=strain, default=None)


def largest_share(proof: Proof) -> float | None:
    """Of all bars with a known share; NaN counts as the largest. None where none is known.

    Infinite where a bar without a known share is missed: how far is not known, but too far is.
    """
    shares = []
    for finding in proof.findings:
        share = share_used(finding)
        if share is not None:
            shares.append(share)
        elif not finding.holds:
            shares.append(math.inf)
    if any(math.isnan(share) for share in shares):
        return math.nan
    return max(shares, default=None)
