"""The command line: parses, calls one function, prints. Nothing imports it."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``nosbuild``."""
    from nosbuild.cli.app import app
    from nosbuild.cli.exits import run

    run(app)
