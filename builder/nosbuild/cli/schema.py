"""``nosbuild schema``."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of model.yaml, for editors."""
    from nosbuild.cli.printing import print_json
    from nosbuild.spec import json_schema

    print_json(json_schema())
