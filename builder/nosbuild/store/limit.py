"""``5GB``, ``30d`` and the environment go in; bytes, seconds and the cache's limit come out."""

from __future__ import annotations

import os
import re

from nosbuild.errors import InputError

LIMIT_VARIABLE = "NOSBUILD_CACHE_LIMIT"
"""Environment variable with the size that the build cache may have; ``off`` for any."""
DEFAULT_LIMIT = "10GB"

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def cache_limit() -> int | None:
    """Bytes that the entries of the build cache may take together; None for no limit.

    Raises:
        InputError: the variable holds no size.
    """
    text = os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT
    if text.strip().lower() == "off":
        return None
    try:
        return parse_size(text)
    except InputError as exc:
        raise InputError(
            f"{LIMIT_VARIABLE}: {exc.message}", f"{exc.remedy} Or off, for no limit."
        ) from exc


def parse_size(text: str) -> int:
    """``5GB``, ``500 MB``, ``1.5GiB`` -> bytes.

    Raises:
        InputError: it is no size.
    """
    return int(_parsed(text, _SIZES, "size", "Write e.g. 5GB, 500MB or 1.5GiB."))


def parse_age(text: str) -> float:
    """``30d``, ``12h``, ``90m``, ``2w`` -> seconds.

    Raises:
        InputError: it is no duration.
    """
    return _parsed(text, _SECONDS, "duration", "Write e.g. 30d, 12h or 2w.")


def _parsed(text: str, units: dict[str, int], what: str, remedy: str) -> float:
    found = _QUANTITY.fullmatch(text)
    unit = found[2].upper() if found else ""
    if found and unit in units:
        return float(found[1]) * units[unit]
    if found and not unit and float(found[1]) == 0:
        return 0.0
    raise InputError(f"{text!r} is no {what}", remedy)
