"""Models on demand and their budget go in; those that can never be loaded within it come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nosbuild.errors import InputError
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes, read, shown, total


def too_large(models: Mapping[str, Mapping[str, Any]], budget: Sizes) -> dict[str, Sizes]:
    """Those that need more than the whole budget, with what they call.

    Args:
        models: as ``managed_models`` tells of them.
        budget: of main memory, and of those GPUs that have one.

    Returns:
        Model -> what it needs, by what the build measured or, where it did not, its files.

    Raises:
        InputError: there is none that fits.
    """
    needs = {name: total(read(models[one]) for one in _closure(name, models)) for name in models}
    found = {name: sizes for name, sizes in needs.items() if not sizes.fits(budget)}
    if found and len(found) == len(models):
        smallest = min(found, key=lambda name: (sum(found[name].values()), name))
        raise InputError(
            f"no model fits in {shown(budget)} of memory: the smallest, {smallest!r}, needs about "
            f"{shown(found[smallest])}",
            "Give more: --memory SIZE or --gpu-memory GPU:SIZE, in Python memory= or gpu_memory=.",
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


def told_too_large(name: str, sizes: Sizes) -> str:
    """One of them, in words."""
    return f"{name} is too large for the budget: it needs about {shown(sizes)} (--memory)"
