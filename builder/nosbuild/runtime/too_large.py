"""Models on demand and their budget go in; those that can never be loaded within it come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nosbuild.errors import InputError
from nosbuild.runtime.memory_budget import gibibytes


def too_large(models: Mapping[str, Mapping[str, Any]], budget: int) -> dict[str, int]:
    """Those that need more than the whole budget, with what they call.

    Args:
        models: as ``managed_models`` tells of them.
        budget: bytes.

    Returns:
        Model -> bytes that it needs, by what the build measured or, where it did not, its files.

    Raises:
        InputError: there is none that fits.
    """
    needs = {name: sum(models[one]["bytes"] for one in _closure(name, models)) for name in models}
    found = {name: size for name, size in needs.items() if size > budget}
    if found and len(found) == len(models):
        smallest = min(found, key=lambda name: (found[name], name))
        raise InputError(
            f"no model fits in {gibibytes(budget)} of memory: the smallest, {smallest!r}, needs "
            f"about {gibibytes(found[smallest])}",
            "Give more: --memory SIZE, in Python memory=.",
        )
    return found


def _closure(name: str, models: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The model and all that it calls; what is not among the models is for Triton to judge."""
    found: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one in models and one not in found:
            found.add(one)
            left += models[one]["calls"]
    return found


def told_too_large(name: str, size: int) -> str:
    """One of them, in words."""
    return f"{name} is too large for the budget: it needs about {gibibytes(size)} (--memory)"
