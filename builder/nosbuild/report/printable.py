"""Text of unknown origin goes in; text that can stand in any page comes out."""

from __future__ import annotations

import re

# Control characters but tab and newline, marks that reverse the text after them, halves of
# surrogate pairs (no UTF-8 holds them), and what no XML may contain.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The same with U+FFFD for every character that cannot be shown. It still wants escaping."""
    return _UNPRINTABLE.sub("\ufffd", text)
