"""Measured rows go in; the placement of a variant, and the variant to publish, come out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import comb

from nosbuild.verify.measure import Measurement, Ratio, Throughput

WITHIN_NOISE = 0.05
"""Relative difference of throughput that does not count."""
CONFIDENCE = 0.9
"""Least confidence of an interval, where there are five rounds or more."""
OVERLAP = 2
"""Instances that a server wants at least, all else equal: while one hands its batch over, the other
computes. More would only hold more copies of the weights."""


def choose_placement(
    rows: Sequence[Throughput], objective: str, p99_ms: float | None
) -> tuple[Throughput, str]:
    """The placement that serves the objective best, and why.

    Args:
        rows: of one variant.
        objective: ``throughput`` or ``latency``.
        p99_ms: upper limit on p99 at the typical batch, for ``throughput``; None for no limit.
    """
    if objective == "latency":
        fastest = min(rows, key=lambda row: row.p99_ms)
        return fastest, f"lowest p99 of {len(rows)} placements ({fastest.p99_ms:.1f} ms)"
    allowed = [row for row in rows if p99_ms is None or row.p99_ms <= p99_ms]
    if not allowed:
        fastest = min(rows, key=lambda row: row.p99_ms)
        return fastest, (
            f"no placement keeps p99 <= {p99_ms:g} ms at batch {fastest.batch}; "
            f"this one comes closest ({fastest.p99_ms:.1f} ms)"
        )
    best = max(row.items_per_second for row in allowed)
    close = [row for row in allowed if row.items_per_second >= best * (1 - WITHIN_NOISE)]
    overlapping = [row for row in close if row.instances >= OVERLAP]
    chosen = min(overlapping or close, key=lambda row: row.instances)
    said = (
        f"{chosen.items_per_second:.0f} items/s with {chosen.instances} x {chosen.threads} threads "
        f"at batch {chosen.batch}"
    )
    if len(rows) == 1:
        return chosen, said
    if len(close) > 1:
        return chosen, f"{said}; of {len(close)} placements alike within the noise"
    return chosen, f"{said}; best of {len(rows)} placements"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """How much more ``ours`` is than ``theirs``, paired by round.

    The interval is that of the median from order statistics (no distribution is assumed): between
    the k-th smallest and the k-th largest of n lies the median with probability
    1 - 2 * sum(C(n, i), i < k) / 2^n. (David & Nagaraja, Order Statistics, 7.1)
    """
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    rounds, k = len(ratios), 1
    while _outside(rounds, k + 1) <= 1 - CONFIDENCE:
        k += 1
    return Ratio(
        value=statistics.median(ratios),
        low=ratios[k - 1],
        high=ratios[-k],
        confidence=1 - _outside(rounds, k),
        rounds=rounds,
    )


def _outside(rounds: int, k: int) -> float:
    return float(min(1.0, 2 * sum(comb(rounds, i) for i in range(k)) / 2**rounds))


def choose_variant(
    speeds: Mapping[str, Sequence[float]],
    measured: Mapping[str, Measurement],
    p99_ms: float | None,
) -> tuple[str, str]:
    """The variant to publish, and why.

    Within the noise the more precise one wins: where the fastest may be less than
    ``WITHIN_NOISE`` faster, by the lower end of the interval, it is not worth its error.

    Args:
        speeds: variant -> its speed in every round, larger is better; from the most precise to
            the least.
        measured: the same variants.
        p99_ms: limit that the objective sets; those that keep it come first.
    """
    tails = {name: row.p99_ms for name in speeds if (row := measured[name].chosen)}
    keeping = [name for name in speeds if p99_ms is None or tails[name] <= p99_ms]
    if not keeping:
        return min(tails, key=tails.__getitem__), (
            f"none keeps p99 <= {p99_ms:g} ms; this one comes closest"
        )
    fastest = max(keeping, key=lambda name: statistics.median(speeds[name]))
    for name in keeping:
        if name == fastest:
            break
        gain = ratio(speeds[fastest], speeds[name])
        if gain.low <= 1 + WITHIN_NOISE:
            return name, (
                f"{fastest} is {gain.value:.2f}x as fast ({gain.low:.2f} to {gain.high:.2f}): "
                "within the noise the more precise variant is published"
            )
    if len(keeping) == 1:
        return fastest, "the only one that may be published"
    return fastest, "the fastest that keeps to the bars"
