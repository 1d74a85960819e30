"""Writes docker/compatibility.yaml: what NVIDIA's Triton containers hold, and where it was read.

``python docker/compatibility.py`` writes the file; ``--check`` only tells whether it is up to date.
The facts are in builder/nosbuild/plan/triton_releases.py, which the code reads.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import yaml

from nosbuild.plan.triton_releases import RELEASES, SOURCES

FILE = Path(__file__).with_name("compatibility.yaml")
_HEAD = """\
# What NVIDIA's Triton containers (tritonserver:<release>-py3) hold, by release, the newest first.
# Made by docker/compatibility.py from builder/nosbuild/plan/triton_releases.py: change that.
# A field that is missing has no source. A release without a row is like the last one before it.
"""


def text() -> str:
    """The file's content."""
    rows = {
        release: {field: value for field, value in asdict(held).items() if value}
        for release, held in sorted(RELEASES.items(), reverse=True)
    }
    written = {"sources": SOURCES, "releases": rows}
    return _HEAD + yaml.safe_dump(written, sort_keys=False, width=100)


def main() -> None:
    """The script."""
    if sys.argv[1:] == ["--check"]:
        if not FILE.exists() or FILE.read_text() != text():
            raise SystemExit(f"{FILE} is not up to date: python {Path(__file__).name}")
        return
    FILE.write_text(text())


if __name__ == "__main__":
    main()
