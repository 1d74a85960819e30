"""Numbers go in; text with their unit comes out."""

from __future__ import annotations

import math

_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_EXACT = 17
"""Digits that tell any two floats apart."""


def significant(value: float) -> str:
    """Three significant digits, whole numbers from 100 on: ``0.0523``, ``2.10``, ``1,240``."""
    if not math.isfinite(value):
        return _not_finite(value)
    for least, digits in ((99.95, 0), (9.995, 1), (0.9995, 2)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:#.3g}" if value else "0"


def round_number(value: float) -> str:
    """A value of few digits, short: ``0.5``, ``2``, ``1,000``, ``20k``, ``1.5M``."""
    for least, unit, name in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:,.10g}{name}"
    return f"{value:,.10g}"


def milliseconds(value: float) -> str:
    """``2.10 ms``."""
    return f"{significant(value)} ms"


def items_per_second(value: float) -> str:
    """``412 items/s``."""
    return f"{significant(value)} items/s"


def times(value: float) -> str:
    """A ratio: ``2.21×``."""
    return f"{value:.2f}×" if math.isfinite(value) else _not_finite(value)


def percent(share: float) -> str:
    """Two significant digits, whole numbers from 10 % on: ``0.0012 %``, ``2.4 %``, ``4,200 %``."""
    if not math.isfinite(share):
        return _not_finite(share)
    value = 100 * share
    return f"{value:,.0f} %" if abs(value) >= 9.95 or value == 0 else f"{value:.2g} %"


def byte_size(size: int) -> str:
    """``90.9 MB``; powers of ten."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def gibibytes(size: int) -> str:
    """``3.10 GiB``; mebibytes below one."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def counted(count: int, noun: str) -> str:
    """``1 sample``, ``212 samples``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def told_apart(value: float, *marks: float, digits: int = 6) -> str:
    """So many significant digits, or as many as it takes not to read like a mark that it is not.

    A cosine of 0.98999999 does not keep to 0.99, and must not read as if it did.
    """
    if not math.isfinite(value):
        return _not_finite(value)
    for count in range(digits, _EXACT):
        text = f"{value:.{count}g}"
        if value in marks or float(text) not in marks:
            return text
    return f"{value:.{_EXACT}g}"


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
