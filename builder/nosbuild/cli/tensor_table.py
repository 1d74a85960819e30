"""Arrays go in; a table of them for people comes out: each a few lines, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.cli.printing import table

if TYPE_CHECKING:
    from rich.table import Table

_LINES = 8
_NARROWEST = 24
_PADDING = 2
_ABRIDGED = ((24, 3), (0, 3), (0, 2), (0, 1))
"""numpy's threshold and edgeitems, from the most values shown to the fewest."""
_UNBROKEN = 10**6


def tensor_table(groups: Mapping[str, Mapping[str, np.ndarray]], width: int) -> Table:
    """A row an array: its group, name, dtype and shape, and as many values as fit.

    Args:
        groups: group -> name -> array.
        width: columns of text that the table may take.
    """
    from rich.text import Text

    heads = [
        (group, name, _shape(array))
        for group, arrays in groups.items()
        for name, array in arrays.items()
    ]
    headings = ("", "tensor", "dtype and shape")
    taken = sum(
        max(len(cell) for cell in column) + _PADDING
        for column in zip(headings, *heads, strict=True)
    )
    left = max(_NARROWEST, width - taken - _PADDING)
    rows = table(*headings, "values")
    for group, name, shape in heads:
        values = _values(groups[group][name], left)
        rows.add_row(Text(group, "dim"), Text(name, "bold"), Text(shape), Text(values))
    return rows


def plain(array: np.ndarray) -> object:
    """Nested lists; bytes as text."""
    return _readable(array).tolist()


def _readable(array: np.ndarray) -> np.ndarray:
    if array.dtype != object:
        return array
    texts = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        texts[index] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return texts


def _shape(array: np.ndarray) -> str:
    kind = "string" if array.dtype == object else str(array.dtype)
    return f"{kind}[{', '.join(map(str, array.shape))}]"


def _values(array: np.ndarray, width: int) -> str:
    longest = max(4, width - 2 * array.ndim)  # beside the brackets

    def quoted(value: object) -> str:
        text = repr(value)
        return text if len(text) <= longest else text[: longest - 1] + "…"

    def lines(threshold: int, edgeitems: int, line_width: int) -> list[str]:
        return np.array2string(
            _readable(array),
            precision=4,
            threshold=threshold,
            edgeitems=edgeitems,
            max_line_width=line_width,
            formatter={"object": quoted} if array.dtype == object else None,
        ).splitlines()

    # Fewer values in a row read better than a row that goes on in the next line.
    for threshold, edgeitems in _ABRIDGED:
        shown = lines(threshold, edgeitems, _UNBROKEN)
        if max(map(len, shown), default=0) <= width:
            break
    else:
        shown = lines(*_ABRIDGED[-1], width)
    if len(shown) > _LINES:
        shown[_LINES:] = ["…"]
    return "\n".join(shown)
