"""What became of every variant goes in; the build's report comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nosbuild.plan import BASELINE, BuildPlan, HostFacts
from nosbuild.report.build_report import BuildReport, VariantReport
from nosbuild.report.headline import headline
from nosbuild.tensors import BATCH
from nosbuild.version import VERSION

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.steps.candidates import Candidate
    from nosbuild.verify.contest import Contest
    from nosbuild.verify.memory import Memory


def rows_of(
    plan: BuildPlan,
    found: Sequence[Candidate],
    contest: Contest,
    chosen: Candidate,
    source: str,
    memory: Memory | None,
) -> tuple[VariantReport, ...]:
    """One row a variant: the source, those that were made, those that were not tried.

    ``memory`` is what an instance of the chosen one holds.
    """
    rows = [_original(source, contest)] if source else []
    rows += [_row(candidate, contest, chosen, memory) for candidate in found]
    rows += [
        VariantReport(
            name=skip.what,
            precision=skip.precision,
            backend="",
            verdict="skipped",
            reason=skip.reason,
        )
        for skip in plan.skips
    ]
    return tuple(rows)


def report_of(
    complete: ModelSpec,
    plan: BuildPlan,
    host: HostFacts,
    rows: Sequence[VariantReport],
    references: dict[str, Any],
    said: str = "",
) -> BuildReport:
    """The report of a build.

    Args:
        complete: the spec, with its tensors known.
        plan: what was planned.
        host: where it was built.
        rows: of every variant, one of them published.
        references: the result of the references step.
        said: the sentence about it, where there is no other variant to compare with.
    """
    by_name = {row.name: row for row in rows}
    published = next(row for row in rows if row.verdict == "published")
    source = rows[0] if rows[0].verdict == "source" else None
    limit = complete.objective.p99_ms
    return BuildReport(
        model=complete.name,
        description=complete.description,
        published=published.name,
        headline=said or headline(published, by_name[BASELINE], source),
        objective=complete.objective.kind + (f" while p99 <= {limit:g} ms" if limit else ""),
        target=str(plan.target),
        typical_batch=complete.dim_range(BATCH).typical if complete.is_batched else 1,
        samples=references["samples"],
        real_samples=references["real"],
        variants=tuple(rows),
        **host_section(host),
    )


def host_section(host: HostFacts) -> dict[str, Any]:
    """What of a report tells where it was built, and with what."""
    facts = asdict(host)
    return {
        "host": {name: value for name, value in facts.items() if name != "libraries"},
        "libraries": host.libraries,
        "nosbuild": VERSION,
    }


def _original(name: str, contest: Contest) -> VariantReport:
    return VariantReport(
        name=name,
        precision="fp32",
        backend="",
        how="the original, as its own library runs it",
        speed=contest.measurements[name],
        verdict="source",
    )


def _row(
    candidate: Candidate, contest: Contest, chosen: Candidate, memory: Memory | None
) -> VariantReport:
    planned, artifact = candidate.planned, candidate.artifact
    verdict, reason = candidate.verdict, candidate.reason
    if candidate is chosen:
        verdict, reason = "published", reason or contest.why
    elif verdict == "proven":
        reason = f"keeps to the bars; {chosen.planned.name} was chosen"
    return VariantReport(
        name=planned.name,
        precision=planned.precision,
        backend=planned.runs_on.backend,
        accelerator=planned.runs_on.accelerator,
        how="; ".join(artifact.how) if artifact and artifact.how else "the export as it is",
        bytes=artifact.bytes if artifact else None,
        proof=candidate.proof,
        speed=contest.measurements.get(planned.name),
        memory=memory if candidate is chosen else None,
        verdict=verdict,
        reason=reason,
    )
