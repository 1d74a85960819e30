"""``nosbuild doctor``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from nosbuild.cli.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: what is there, what is missing, and how to get it."""
    from nosbuild.errors import HostError
    from nosbuild.runtime import examine

    findings = examine()
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([asdict(finding) for finding in findings])
    else:
        from rich.markup import escape

        from nosbuild.cli.printing import results, table

        rows = table("", "what", "found")
        for finding in findings:
            missing = "[red]✗[/]" if finding.required else "[yellow]-[/]"
            detail = escape(finding.detail)
            if finding.remedy:
                detail += f"\n[dim]{escape(finding.remedy)}[/]"
            rows.add_row("[green]✓[/]" if finding.ok else missing, finding.what, detail)
        results().print(rows)
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(HostError.exit_code)
