"""``nosbuild check``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson, Repository


def check(repository: Repository = DEFAULT_REPOSITORY, as_json: AsJson = False) -> None:
    """Lint a repository: every problem with file, reason and remedy."""
    from nosbuild.errors import InputError
    from nosbuild.repository.check import check_repository

    findings = check_repository(repository)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([asdict(finding) for finding in findings])
    else:
        from rich.text import Text

        from nosbuild.cli.printing import results

        console = results()
        for finding in findings:
            style = "red" if finding.severity == "error" else "yellow"
            console.print(
                Text.assemble((finding.severity, style), f" {finding.file}: {finding.message}"),
                soft_wrap=True,
            )
            console.print(Text(f"  {finding.remedy}", style="dim"), soft_wrap=True)
        warnings = len(findings) - errors
        counts = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
        console.print(counts if findings else "[green]no problems found[/]")
    if errors:
        raise typer.Exit(InputError.exit_code)
