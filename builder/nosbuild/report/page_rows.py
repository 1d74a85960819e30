"""A BuildReport goes in; the cells of the page's tables, as text with units, come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nosbuild.report.bar_use import bar_of, share_used, tightest
from nosbuild.report.build_report import BuildReport, VariantReport
from nosbuild.report.marks import color
from nosbuild.report.units import (
    byte_size,
    counted,
    items_per_second,
    milliseconds,
    percent,
    times,
    told_apart,
)
from nosbuild.verify.measure import Measurement, Ratio
from nosbuild.verify.memory import Memory
from nosbuild.verify.proof import Finding, Proof

_IN_FULL = 2
"""So many bars are all shown in the table of variants; of more, the tightest."""


@dataclass(frozen=True)
class ErrorCell:
    """One bar: ``cosine 0.9911``, ``bar >= 0.99`` of an output."""

    output: str
    worst: str
    bar: str
    holds: bool


@dataclass(frozen=True)
class VariantRow:
    """One row of the table of variants; empty cells are empty text."""

    number: int
    name: str
    color: str
    runs_on: str
    size: str
    errors: tuple[ErrorCell, ...]
    more_errors: str
    latencies: tuple[tuple[str, str], ...]
    """p50 and p99 at each batch size of the table's columns."""
    throughput: str
    placement: str
    ratio: str
    interval: str
    """Confidence interval of the ratio."""
    verdict: str
    reason: str
    how: str


@dataclass(frozen=True)
class CheckRow:
    """A variant against one bar."""

    number: int
    name: str
    worst: str
    used: str
    """Share of the bar used up; empty where it is not known."""
    where: str
    holds: bool


@dataclass(frozen=True)
class Check:
    """One bar of one output, and every variant against it."""

    output: str
    bar: str
    noise: str
    noise_misses: bool
    rows: tuple[CheckRow, ...]


@dataclass(frozen=True)
class PlacementRow:
    """Instances x threads, measured for the published variant."""

    placement: str
    throughput: str
    p99: str
    chosen: bool


def batch_columns(report: BuildReport) -> list[int]:
    """The smallest, the typical and the largest batch measured, ascending."""
    sizes = {row.batch for v in report.variants if v.speed for row in v.speed.latencies}
    return sorted({min(sizes), max(sizes), *({report.typical_batch} & sizes)}) if sizes else []


def variant_row(variant: VariantReport, number: int, batches: Sequence[int]) -> VariantRow:
    """Every figure of one variant."""
    speed = variant.speed
    latencies = {row.batch: row for row in speed.latencies} if speed else {}
    cells = tuple(
        (milliseconds(row.median_ms), milliseconds(row.p99_ms)) if row else ("", "")
        for row in map(latencies.get, batches)
    )
    errors, more = _errors(variant.proof)
    ratio = speed.over_baseline if speed else None
    chosen = speed.chosen if speed else None
    return VariantRow(
        number=number,
        name=variant.name,
        color=color(variant),
        runs_on=_runs_on(variant),
        size=byte_size(variant.bytes) if variant.bytes is not None else "",
        errors=errors,
        more_errors=more,
        latencies=cells,
        throughput=items_per_second(chosen.items_per_second) if chosen else "",
        placement=placement(chosen.instances, chosen.threads) if chosen else "",
        ratio=f"{times(ratio.value)} onnx-fp32" if ratio else "",
        interval=_interval(ratio) if ratio else "",
        verdict=variant.verdict,
        reason=variant.reason,
        how=variant.how,
    )


def placement(instances: int, threads: int) -> str:
    """``2 instances × 1 thread``."""
    return f"{counted(instances, 'instance')} × {counted(threads, 'thread')}"


def _runs_on(variant: VariantReport) -> str:
    backend = " + ".join(part for part in (variant.backend, variant.accelerator) if part)
    return ", ".join(part for part in (variant.precision, backend) if part)


def _interval(ratio: Ratio) -> str:
    return f"{percent(ratio.confidence)} CI {times(ratio.low)} to {times(ratio.high)}"


def _errors(proof: Proof | None) -> tuple[tuple[ErrorCell, ...], str]:
    findings = proof.findings if proof else ()
    if len(findings) <= _IN_FULL:
        return tuple(map(_error, findings)), ""
    worst = tightest(findings)
    others = [finding for finding in findings if finding is not worst]
    missed = sum(not finding.holds for finding in others)
    kept = f"{len(others) - missed} more kept"
    more = f"{missed} more missed, {kept}" if missed else kept
    return tuple(_error(f) for f in (worst,) if f), more


def _error(finding: Finding) -> ErrorCell:
    bar = bar_of(finding)
    sign = "≥" if bar.higher_is_better else "≤"
    return ErrorCell(
        output=finding.output,
        worst=f"{bar.metric} {told_apart(finding.value, bar.threshold, 1.0)}",
        bar=f"{sign} {bar.threshold:g}",
        holds=finding.holds,
    )


def checks(report: BuildReport, numbers: Mapping[str, int]) -> list[Check]:
    """Every bar of every output, in the order of the first proof that has it."""
    found: dict[tuple[str, str], list[tuple[VariantReport, Finding]]] = {}
    for variant in report.variants:
        for finding in variant.proof.findings if variant.proof else ():
            found.setdefault((finding.output, finding.bar), []).append((variant, finding))
    return [
        Check(
            output=output,
            bar=bar.replace(">=", "≥").replace("<=", "≤"),
            noise=_noise([finding for _, finding in pairs]),
            noise_misses=any(finding.noise_misses for _, finding in pairs),
            rows=tuple(_check_row(v.name, numbers[v.name], finding) for v, finding in pairs),
        )
        for (output, bar), pairs in found.items()
    ]


def _noise(findings: Sequence[Finding]) -> str:
    """The source's own; the same for every variant, unless their proofs are of different age."""
    known = dict.fromkeys(f.noise for f in findings if f.noise is not None)
    bar = bar_of(findings[0])
    return ", ".join(told_apart(noise, bar.threshold, 1.0) for noise in known)


def _check_row(name: str, number: int, finding: Finding) -> CheckRow:
    share = share_used(finding)
    return CheckRow(
        number=number,
        name=name,
        worst=told_apart(finding.value, bar_of(finding).threshold, 1.0),
        used="" if share is None else percent(share),
        where=f"batch {finding.batch}, sample {finding.sample}",
        holds=finding.holds,
    )


def proof_groups(report: BuildReport) -> list[tuple[str, list[str]]]:
    """On what variants were proven, in words, and which: those proven alike stand together."""
    groups: dict[str, list[str]] = {}
    for variant in report.variants:
        if variant.proof is None:
            continue
        proof = variant.proof
        kind = "real" if proof.real_samples else "random"
        sizes = ", ".join(map(str, proof.batches))
        plural = "s" * (len(proof.batches) != 1)
        words = f"{counted(proof.samples, f'{kind} sample')}, batch size{plural} {sizes}"
        groups.setdefault(words, []).append(variant.name)
    return list(groups.items())


def memory_sentence(memory: Memory) -> str:
    """What one instance holds, idle and at most."""
    items = "" if memory.batch == 1 else f", which is while it answers {memory.batch} at once"
    idle, peak = byte_size(memory.idle), byte_size(memory.peak)
    gpu = f" Of the GPU it holds {byte_size(memory.device_peak)}." if memory.device_peak else ""
    return f"An instance in a process of its own holds {idle}, and {peak} at most{items}.{gpu}"


def placement_rows(speed: Measurement) -> list[PlacementRow]:
    """All placements measured, the chosen one marked."""
    return [
        PlacementRow(
            placement=placement(row.instances, row.threads),
            throughput=items_per_second(row.items_per_second),
            p99=milliseconds(row.p99_ms),
            chosen=row == speed.chosen,
        )
        for row in speed.throughputs
    ]
