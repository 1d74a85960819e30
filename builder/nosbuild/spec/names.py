"""What a model may be called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nosbuild.spec.problems import Finding
from nosbuild.spec.yaml_source import KeyPath

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""As a regular expression and a JSON Schema pattern."""


def name_findings(key: KeyPath, name: str) -> Iterator[Finding]:
    """What is wrong with a model's name."""
    if not re.fullmatch(NAME_PATTERN[1:-1], name):
        remedy = "use letters, digits, _ . - and start with a letter or digit"
        yield Finding(key, f"{name!r} is no model name", remedy)


def folder_findings(name: str, folder: Path) -> Iterator[Finding]:
    """What is wrong with the name of the model in a folder."""
    impossible = list(name_findings(("name",), name))
    yield from impossible
    if not impossible and name != folder.name:
        found = f"{name!r} is not the folder's name {folder.name!r}, as Triton demands"
        remedy = f"write name: {folder.name}, or rename the folder to {name}"
        yield Finding(("name",), found, remedy)
