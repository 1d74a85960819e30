"""What was asked to be served goes in; methods of the same classes that are left out come out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path


def unserved_methods(repository: Path, asked: Sequence[str], served: Collection[str]) -> list[str]:
    """Names of built models that a class's further methods are, and that are not served.

    They are models of their own, each with workers that load the class again: whoever names one
    model may well mean it alone, but should know of the others.
    """
    from nosbuild.repository.python_check import further_methods

    methods = [method for name in asked for method in further_methods(repository, name)]
    return [method for method in methods if method not in served]
