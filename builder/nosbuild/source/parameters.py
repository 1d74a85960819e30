"""Inputs that a model does not take go in; the words for it come out."""

from __future__ import annotations

from collections.abc import Sequence


def no_parameters(names: Sequence[str]) -> str:
    """``input x is no parameter`` or ``inputs x, y are no parameters``."""
    if len(names) == 1:
        return f"input {names[0]} is no parameter"
    return f"inputs {', '.join(names)} are no parameters"
