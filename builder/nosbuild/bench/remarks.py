"""What one load found out goes in; what a reader must know beside the figures comes out."""

from __future__ import annotations

from nosbuild.bench.result import LevelResult
from nosbuild.report.units import significant


def remarks(level: LevelResult) -> list[str]:
    """Sentences, the gravest first."""
    found = list(level.notes)
    if level.unsent:
        found.append(f"{level.unsent:,} requests of the schedule were not sent any more")
    if level.departure_lag_ms and not level.kept_schedule:
        late = significant(level.departure_lag_ms.p99)
        found.append(f"the load generator fell behind: 1 % of the requests left {late} ms late")
    offered = level.sent / level.seconds
    if not level.keeps_up:
        answered, sent = significant(level.requests_per_second), significant(offered)
        found.append(
            f"{answered} of {sent} requests/s were answered in time: the server does not keep up, "
            "and latencies grow as long as this lasts"
        )
    if not level.is_steady:
        low, high = (significant(rate) for rate in (min(level.windows), max(level.windows)))
        found.append(
            f"not steady: between {low} and {high} requests/s in the fifths of the time; "
            "measure longer, or on a quieter machine"
        )
    if level.server and level.server.from_cache:
        found.append(f"{level.server.from_cache:,} requests came from Triton's response cache")
    return found
