"""A name that is not known in; the one that was likely meant out."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`` (did you mean 'scorer'?)``, to go on with; empty where no name is near."""
    import difflib  # here, for its share of the time that ``import nosclient`` takes

    found = difflib.get_close_matches(str(name), sorted(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
