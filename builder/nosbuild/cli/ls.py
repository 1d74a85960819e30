"""``nosbuild ls``."""

from __future__ import annotations

from dataclasses import asdict

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson, Repository


def ls(repository: Repository = DEFAULT_REPOSITORY, as_json: AsJson = False) -> None:
    """List the models of a repository, built or not."""
    from nosbuild.repository.listing import list_models

    rows = list_models(repository)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([asdict(row) for row in rows])
        return
    from rich.markup import escape

    from nosbuild.cli.printing import megabytes, results, table

    shown = table("model", "version", "variant", "size", "memory", "batch", "what it does")
    for row in rows:
        version = str(row.version) if row.version else "[yellow]not built[/]"
        if row.refused:
            version += f" [red]({row.refused} refused)[/]"
        size = megabytes(row.size_bytes) if row.size_bytes else ""
        memory = megabytes(row.memory_bytes) if row.memory_bytes else ""
        batch = str(row.max_batch_size) if row.max_batch_size else "[dim]none[/]"
        shown.add_row(
            f"[bold]{row.name}[/]",
            version,
            row.variant,
            size,
            memory,
            batch if row.version else "",
            escape(row.description),
        )
    results().print(shown)
