"""``min..typical..max`` -> DimRange: the sizes that a named axis may take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from nosbuild.spec.yaml_source import type_name

_NUMBER = r"[0-9]{1,18}"
_RANGE = re.compile(rf"\s*({_NUMBER}(?:\s*\.\.\s*{_NUMBER}){{0,2}})(?:\s+step\s+({_NUMBER}))?\s*")

PATTERN = rf"^\s*{_NUMBER}(\s*\.\.\s*{_NUMBER}){{0,2}}(\s+step\s+{_NUMBER})?\s*$"
"""The same as a JSON Schema pattern."""

FORM = "write min..typical..max, e.g. 1..32..256, or one number for a fixed size"


class BadRange(ValueError):
    """Text that is no range; says what was found and what to write."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found
        self.remedy = remedy


@dataclass(frozen=True)
class DimRange:
    """The sizes of one axis: every multiple of ``step`` from ``min`` to ``max``.

    ``typical`` is the size to optimise for. The three are the profile that TensorRT calls
    min, opt and max.
    """

    min: int
    typical: int
    max: int
    step: int = 1

    def __post_init__(self) -> None:
        sizes = {"min": self.min, "typical": self.typical, "max": self.max, "step": self.step}
        for label, size in sizes.items():
            if size < 1:
                raise BadRange(f"{label} is {size}", "write numbers of at least 1")
        if not self.min <= self.typical <= self.max:
            rising = "..".join(str(size) for size in sorted((self.min, self.typical, self.max)))
            raise BadRange("the sizes do not rise", f"write min..typical..max, e.g. {rising}")
        for label, size in sizes.items():
            if size % self.step:
                near = max(round(size / self.step), 1) * self.step
                found = f"{label} {size} is no multiple of {self.step}"
                raise BadRange(found, f"write a multiple of the step, e.g. {near}")

    @classmethod
    def parse(cls, value: object) -> DimRange:
        """Read ``1..8..64``, ``1..64``, ``8`` or ``"32..320..960 step 32"``.

        Without a typical size it is the geometric mean of min and max, the middle on the scale
        on which running times grow.

        Raises:
            BadRange: not of that form, below 1, not rising, or no multiple of the step.
        """
        if isinstance(value, list) and value and all(type(size) is int for size in value):
            listed = "..".join(str(size) for size in value)
            raise BadRange(f"{value} is a list", f"write it as a range: {listed}")
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise BadRange(f"{value} is {type_name(value)}, not a range", FORM)
        match = _RANGE.fullmatch(str(value))
        if match is None:
            raise BadRange(f"{value!r} is no range", FORM)
        sizes = [int(size) for size in match[1].split("..")]
        step = int(match[2]) if match[2] else 1
        if len(sizes) == 2:
            sizes.insert(1, _middle(sizes[0], sizes[1], step))
        try:
            return cls(sizes[0], sizes[len(sizes) // 2], sizes[-1], step)
        except BadRange as error:
            raise BadRange(f"{value!r}: {error.found}", error.remedy) from error

    @property
    def is_fixed(self) -> bool:
        """True where the axis has one size."""
        return self.min == self.max

    def __str__(self) -> str:
        sizes = str(self.min) if self.is_fixed else f"{self.min}..{self.typical}..{self.max}"
        return sizes if self.step == 1 else f"{sizes} step {self.step}"


def _middle(low: int, high: int, step: int) -> int:
    if low > high or step < 1:
        return low  # refused by the caller, with what was written
    nearest = round(math.sqrt(low * high) / step) * step
    return min(max(nearest, low), high)


DEFAULT_BATCH = DimRange(1, 8, 32)
"""The batch axis where a spec does not give its range."""
