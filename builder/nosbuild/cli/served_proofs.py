"""Proofs through the server go in; a table of all ways for each, and its sentence, come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from nosbuild.cli.printing import progress, results, table

if TYPE_CHECKING:
    from rich.table import Table

    from nosbuild.prove import ServedFinding, ServedProof, Way
    from nosbuild.runtime import ServiceRecord


def proofs_of(
    repositories: Mapping[Path, Sequence[str] | None], running: ServiceRecord | None = None
) -> list[ServedProof]:
    """Prove models of each repository, telling meanwhile what is being done.

    Args:
        repositories: repository -> names of its models; None for all of them.
        running: a server that runs on it already; None to start one.
    """
    from nosbuild.prove import prove_served

    console = progress()
    proofs: list[ServedProof] = []
    with console.status("starting Triton") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, soft_wrap=True)

        for folder, names in repositories.items():
            proofs += prove_served(folder, names, server=running, on_progress=say)
    return proofs


def print_proofs(proofs: Sequence[ServedProof]) -> None:
    """The tables and the sentences on standard output; what was missed on standard error."""
    console = results()
    for proof in proofs:
        samples = f"{proof.samples} golden sample{'s' * (proof.samples != 1)}"
        head = (f" v{proof.version}", f"  {proof.variant}, {samples}")
        console.print(Text.assemble((proof.model, "bold"), head[0], (head[1], "dim")))
        if proof.ways:
            console.print(_table(proof))
        for note in proof.notes:
            console.print(Text(note, "yellow"), soft_wrap=True)
    skipped = {f"{over}: {why}" for proof in proofs for over, why in proof.skipped.items()}
    for line in sorted(skipped):
        console.print(Text(f"not tried over {line}", "dim"), soft_wrap=True)
    for proof in proofs:
        mark = Text("✓ ", "green") if proof.passed else Text("✗ ", "red")
        console.print(mark, Text(proof.headline()), sep="", soft_wrap=True)
    errors = progress()
    for proof in proofs:
        if proof.passed or proof.failure:  # that is in its sentence
            continue
        for line in proof.refusal().splitlines():
            errors.print(Text(f"{proof.model} v{proof.version} {line}", "red"), soft_wrap=True)
    if logs := {proof.log for proof in proofs if proof.log}:
        errors.print(f"  Triton's log: {', '.join(sorted(logs))}", soft_wrap=True)


def _table(proof: ServedProof) -> Table:
    rows = table("over", "sent", "worst, and its bar", "batches", "verdict")
    for column in rows.columns:
        column.no_wrap = column.header != "worst, and its bar"
    for way in proof.ways:
        rows.add_row(
            way.transport,
            f"{way.requests} {'together' if way.together else 'alone'}",
            "\n".join(_values(way)),
            f"{way.runs}, largest {way.largest_batch}" if way.joined else "",
            _verdict(way),
        )
    return rows


def _values(way: Way) -> Iterator[str]:
    several = len({finding.output for finding in way.findings}) > 1
    for finding in way.findings:
        output = f"{escape(finding.output)}: " if several else ""
        yield output + _value(finding)


def _value(finding: ServedFinding) -> str:
    allclose, _, excess = finding.bar.partition(" excess ")
    if excess and finding.holds:
        return escape(allclose)
    metric, _, bar = finding.bar.rpartition(" excess ") if excess else finding.bar.partition(" ")
    shown = f"{escape(metric)} {finding.value:.4g} [dim]{escape(bar)}[/]"
    return shown if finding.holds else f"[red]{shown}[/]"


def _verdict(way: Way) -> str:
    if way.failure:
        return "[red]failed[/]"
    return "[green]holds[/]" if way.passed else "[red]missed[/]"
