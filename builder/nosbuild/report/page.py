"""A BuildReport goes in; ``report.html``, one page that needs nothing else, comes out."""

from __future__ import annotations

from typing import Any

from nosbuild.errors import InternalError
from nosbuild.report.build_report import BuildReport, VariantReport
from nosbuild.report.latency_plot import latency_plot
from nosbuild.report.page_rows import (
    batch_columns,
    checks,
    memory_sentence,
    placement_rows,
    proof_groups,
    variant_row,
)
from nosbuild.report.pareto_plot import pareto_plot
from nosbuild.report.templates import style, template
from nosbuild.report.units import byte_size, counted

_ROOM = "nosbuild.report"


def render(report: BuildReport, version: int) -> str:
    """The page: no script, nothing fetched, nothing that changes from one rendering to the next.

    Text from specs and models is escaped; a content security policy in the page forbids
    everything but its own style sheet.

    Args:
        report: of the build that published.
        version: under which it was published.
    """
    from markupsafe import Markup

    numbers = {variant.name: number for number, variant in enumerate(report.variants, 1)}
    published = _published(report)
    batches = batch_columns(report)
    pareto, pareto_note = pareto_plot(report, numbers) or ("", "")
    sheet, digest = style()
    return template(_ROOM, "page.html.jinja").render(
        report=report,
        version=version,
        style=sheet,
        style_digest=digest,
        warnings=_warnings(report, published),
        batches=batches,
        rows=[variant_row(v, numbers[v.name], batches) for v in report.variants],
        pareto=Markup(pareto),
        pareto_note=pareto_note,
        latency=Markup(latency_plot(report, numbers) or ""),
        published=published,
        placements=placement_rows(published.speed) if published.speed else [],
        memory=memory_sentence(published.memory) if published.memory else "",
        checks=checks(report, numbers),
        proof_groups=proof_groups(report),
        host=[(_label(key), text) for key, v in report.host.items() if (text := _fact(key, v))],
    )


def _published(report: BuildReport) -> VariantReport:
    for variant in report.variants:
        if variant.name == report.published:
            return variant
    raise InternalError(f"the report of {report.model} lacks {report.published}, published")


def _warnings(report: BuildReport, published: VariantReport) -> list[str]:
    """What a reader must know before any figure."""
    found = []
    if published.proof is None or not published.proof.passed:
        found.append(f"{published.name} was published without a proof that it keeps to its bars.")
    if not report.real_samples:
        found.append(
            f"Proven on {counted(report.samples, 'random input')}, not on real ones: errors on "
            "real data may be larger. Name real inputs with samples: in the model.yaml."
        )
    tight = sorted({f.output for f in _findings(published) if f.noise_misses})
    if tight:
        found.append(
            f"The source itself misses the bar of {', '.join(tight)}: it is tighter than the "
            "model's own rounding."
        )
    return found


def _findings(variant: VariantReport) -> tuple[Any, ...]:
    return variant.proof.findings if variant.proof else ()


def _label(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")


def _fact(key: str, value: object) -> str:
    if key.endswith("_bytes") and isinstance(value, int):
        return byte_size(value)
    if isinstance(value, dict):
        return ", ".join(f"{_label(name)} {_fact(name, inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_fact(key, inner) for inner in value)
    return str(value)
