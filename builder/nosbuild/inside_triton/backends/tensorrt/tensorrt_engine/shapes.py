"""Shapes of a request and an engine's optimisation profiles go in; the profile to use comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """What one input takes under one profile."""

    min: Shape
    opt: Shape
    max: Shape

    def takes(self, shape: Shape) -> bool:
        """Whether it lies in between."""
        return len(shape) == len(self.min) and all(
            low <= size <= high for low, size, high in zip(self.min, shape, self.max, strict=True)
        )

    def __str__(self) -> str:
        sizes = [
            str(low) if low == high else f"{low}..{high}"
            for low, high in zip(self.min, self.max, strict=True)
        ]
        return f"[{', '.join(sizes)}]"


Profile = Mapping[str, ShapeRange]


class ShapeRefused(ValueError):
    """Inputs that no profile takes; the text names the input, its shape, and what is taken."""


def choose_profile(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> int:
    """Index of the profile to run with: of those that take the shapes, the narrowest.

    Kernels are chosen for a profile as a whole, so the narrower one is the faster one.

    Raises:
        ShapeRefused: none takes them.
    """
    fitting = [
        index
        for index, profile in enumerate(profiles)
        if all(profile[name].takes(shape) for name, shape in shapes.items())
    ]
    if fitting:
        return min(fitting, key=lambda index: _width(profiles[index]))
    for name, shape in shapes.items():
        ranges = list(dict.fromkeys(str(profile[name]) for profile in profiles))
        if not any(profile[name].takes(shape) for profile in profiles):
            raise ShapeRefused(
                f"input {name!r} has shape {list(shape)}; the engine takes {' or '.join(ranges)}"
            )
    shown = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    raise ShapeRefused(f"no optimisation profile of the engine takes {shown} together")


def _width(profile: Profile) -> float:
    width = 1.0
    for bounds in profile.values():
        for low, high in zip(bounds.min, bounds.max, strict=True):
            width *= high / max(low, 1)
    return width
