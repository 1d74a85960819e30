"""A ``BenchResult`` goes in; one page that needs nothing else comes out."""

from __future__ import annotations

from nosbuild.bench.plots import batch_plot, latency_plot, rate_plot
from nosbuild.bench.remarks import remarks
from nosbuild.bench.result import BenchResult
from nosbuild.report.templates import style, template
from nosbuild.report.units import significant

_STYLE = """
svg .share { fill: currentColor; opacity: 0.75; }
.loads td, .loads th { white-space: nowrap; }
.wide { overflow-x: auto; }
"""


def render_page(found: BenchResult) -> str:
    """The page: no script, nothing fetched; text from the server is escaped."""
    from markupsafe import Markup

    sheet, digest = style(_STYLE)
    batches = [
        (level.name, Markup(drawn))
        for place, level in enumerate(found.levels)
        if (drawn := batch_plot(level, f"batches-{place}"))
    ]
    return template("nosbuild.bench", "load_page.html.jinja").render(
        found=found,
        headline=found.headline(),
        style=sheet,
        style_digest=digest,
        significant=significant,
        remarks=remarks,
        rate=Markup(rate_plot(found.levels) if found.levels else ""),
        latency=Markup(latency_plot(found.levels)),
        batches=batches,
    )
