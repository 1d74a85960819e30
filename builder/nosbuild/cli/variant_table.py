"""Build results go in; one table of every variant, and what was gained, come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from nosbuild.cli.printing import megabytes, table
from nosbuild.report.units import told_apart

if TYPE_CHECKING:
    from nosbuild.report.build_report import VariantReport
    from nosbuild.steps import BuildResult

_COLOURS = {
    "published": "green",
    "proven": "default",
    "refused": "red",
    "skipped": "dim",
    "unproven": "yellow",
    "source": "dim",
}


def variant_table(result: BuildResult) -> Table:
    """Every variant that was made, a row each: size, error, latency by batch, throughput."""
    shown = [row for row in result.variants if row.verdict != "skipped"]
    sizes = [row.batch for row in result.measurement.latencies]
    rates = ["items/s"] if any(_throughput(row) for row in shown) else []
    rows = table(result.name, "size", "worst (bar)", *(f"@{size}" for size in sizes), *rates, "")
    for column in rows.columns[1:]:
        column.no_wrap = column.header != "worst (bar)"
        if column.header not in ("worst (bar)", ""):
            column.justify = "right"
    if sizes:
        rows.caption = "@batch size: latency in ms, the median above the 99th percentile"
        rows.caption_justify = "left"
    for row in shown:
        style = "bold" if row.verdict == "published" else ""
        colour = _COLOURS[row.verdict]
        verdict = row.verdict + (f" v{result.version}" if row.verdict == "published" else "")
        rows.add_row(
            escape(row.name),
            megabytes(row.bytes) if row.bytes is not None else "",
            "\n".join(_qualities(row)),
            *_latencies(row, sizes),
            *(_throughput(row) for _ in rates),
            f"[{colour}]{verdict}[/]{_placement(row)}",
            style=style,
        )
    return rows


def sentences(result: BuildResult) -> list[str]:
    """What was gained, what was refused and why, and what the reader should know."""
    done = "published as" if result.is_new else "unchanged,"
    lines = [
        f"[bold]{escape(result.name)}[/]: {escape(result.report.headline)}; "
        f"[green]{done} version {result.version}[/]"
    ]
    for row in result.variants:
        _, rescued, cost = row.how.partition("rescued: ")
        if rescued and row.verdict in ("published", "proven"):
            lines.append(f"  rescued {escape(row.name)}: {escape(cost)}")
        if row.verdict in ("refused", "unproven"):
            colour = _COLOURS[row.verdict]
            reason = "\n    ".join(escape(line) for line in row.reason.splitlines())
            lines.append(f"  [{colour}]{row.verdict}[/] {escape(row.name)}: {reason}")
    return lines + _notes(result)


def _qualities(row: VariantReport) -> list[str]:
    """``cosine 0.9999 (0.99)``: what was found, beside what was demanded."""
    findings = row.proof.findings if row.proof else ()
    several = len({finding.output for finding in findings}) > 1
    lines = []
    for finding in findings:
        metric, _, bar = finding.bar.partition(" ")
        if metric.startswith("allclose"):
            within = finding.bar.partition(" excess")[0]
            shown = f"{'' if finding.holds else 'not '}{within}"
        else:
            mark = bar.split()[-1]
            value = told_apart(finding.value, float(mark), digits=4)
            shown = f"{escape(metric)} {value} [dim]({escape(mark)})[/]"
        output = f"{escape(finding.output)}: " if several else ""
        lines.append(output + (shown if finding.holds else f"[red]{shown}[/]"))
    return lines


def _latencies(row: VariantReport, sizes: Sequence[int]) -> list[str]:
    """The median, below it the 99th percentile."""
    by_size = {found.batch: found for found in row.speed.latencies} if row.speed else {}
    return [
        f"{by_size[size].median_ms:.3g}\n[dim]{by_size[size].p99_ms:.3g}[/]"
        if size in by_size
        else ""
        for size in sizes
    ]


def _throughput(row: VariantReport) -> str:
    if row.speed is None or row.speed.chosen is None:
        return ""
    over = row.speed.over_baseline
    gain = f"\n[dim]{over.value:.3g}x[/]" if over else ""
    return f"{row.speed.chosen.items_per_second:,.0f}{gain}"


def _placement(row: VariantReport) -> str:
    """``2 instances x 1``, and the memory of each."""
    lines = []
    if row.verdict == "published" and row.speed and row.speed.chosen:
        instances, threads = row.speed.instances, row.speed.threads
        lines.append(f"{instances} instance{'s' * (instances > 1)} x {threads}")
    if row.memory:
        lines.append(f"{megabytes(row.memory.peak)} each")
    return "".join(f"\n[dim]{line}[/]" for line in lines)


def _notes(result: BuildResult) -> list[str]:
    name = escape(result.name)
    notes = [f"[yellow]{name}[/]: {escape(note)}" for note in result.notes]
    if result.replaced and result.replaced not in {row.name for row in result.variants}:
        notes.append(
            f"[yellow]{name}[/]: before, {escape(result.replaced)} was served, which this build "
            "did not try; name its precision in the model.yaml to keep it"
        )
    notes += [
        f"[yellow]{name}[/]: the bar of {escape(finding.output)} "
        f"({escape(finding.bar)}) is tighter than the model's own rounding "
        f"noise ({finding.noise:.3g})"
        for finding in result.proof.findings
        if finding.noise_misses
    ]
    if not result.report.real_samples:
        count = result.report.samples
        notes.append(
            f"[yellow]{name}[/]: proven on {count} random input{'s' * (count != 1)}; "
            "name real ones with samples: in the model.yaml"
        )
    return notes
