"""``nosbuild runtimes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nosbuild.cli.options import AsJson

if TYPE_CHECKING:
    from nosbuild.runtime.runtimes import RuntimeFinding


def runtimes(as_json: AsJson = False) -> None:
    """Show where models can be served from here, what each way needs, and what is missing."""
    from nosbuild.runtime.runtimes import examine_runtimes

    found = examine_runtimes()
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([_described(runtime) for runtime in found])
        return
    from rich.markup import escape

    from nosbuild.cli.printing import results, table

    rows = table("", "runtime", "needs", "here")
    for runtime in found:
        lines = [f"[green]{escape(runtime.command)}[/]"] if runtime.can_run else []
        for finding in runtime.missing:
            lines.append(f"{finding.what}: {escape(finding.detail)}")
            if finding.remedy:
                lines.append(f"[dim]{escape(finding.remedy)}[/]")
        mark = "[green]✓[/]" if runtime.can_run else "[yellow]-[/]"
        rows.add_row(mark, runtime.name, runtime.needs, "\n".join(lines))
    results().print(rows)


def _described(runtime: RuntimeFinding) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": runtime.name,
        "command": runtime.command,
        "can_run": runtime.can_run,
        "needs": runtime.needs,
        "found": [asdict(finding) for finding in runtime.found],
    }
