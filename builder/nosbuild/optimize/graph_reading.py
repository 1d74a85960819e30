"""A value of an ONNX graph goes in; what can be read of it without running anything comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = int | str | tuple[str, int]
"""Of an axis: a number, a name, or, where neither is known, (value, axis)."""


def op_types(model: ir.Model) -> Counter[str]:
    """How many nodes of each type, those of graphs within included."""
    return Counter(node.op_type for node in model.graph.all_nodes())


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array that a value always is, if it is an initializer or a Constant's output."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """The one number that a value always is."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def made_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node of ONNX's own domain that makes the value, if it is of this type."""
    node = value.producer() if value is not None else None
    fits = node is not None and node.op_type == op_type and node.domain in ("", "ai.onnx")
    return node if fits else None


def read_once(value: ir.Value) -> bool:
    """Whether nothing but one node would miss the value."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def integers(node: ir.Node, attribute: str) -> tuple[int, ...]:
    """A list attribute; empty where it is not set."""
    found = node.attributes.get(attribute)
    return () if found is None else tuple(found.as_ints())


def integer(node: ir.Node, attribute: str, default: int) -> int:
    """A number attribute."""
    found = node.attributes.get(attribute)
    return default if found is None else int(found.as_int())


def sizes(value: ir.Value) -> tuple[Size, ...] | None:
    """Sizes of all axes, from the file's shapes or the node that makes it; None without a rank.

    Two axes with equal sizes here are equal at every run.
    """
    made = _sizes_made(value)
    if value.shape is None:
        return made
    if made is None or len(made) != len(value.shape):
        made = tuple((value.name or "", axis) for axis in range(len(value.shape)))
    return tuple(_known(dim) or by_node for dim, by_node in zip(value.shape, made, strict=True))


def _known(dim: int | ir.SymbolicDim) -> Size | None:
    """None where the file tells nothing: 0, no name, or one that shape inference made up."""
    if isinstance(dim, int):
        return dim or None
    return None if dim.value is None or dim.value.startswith("unk__") else str(dim.value)


def _sizes_made(value: ir.Value) -> tuple[Size, ...] | None:
    if (node := made_by(value, "Transpose")) is not None and node.inputs[0] is not None:
        given = sizes(node.inputs[0])
        order = integers(node, "perm")
        return tuple(given[axis] for axis in order) if given is not None and order else None
    if (node := made_by(value, "Reshape")) is not None and node.inputs[0] is not None:
        return _sizes_reshaped(node, value)
    return None


def _sizes_reshaped(node: ir.Node, value: ir.Value) -> tuple[Size, ...] | None:
    given, wanted = sizes(node.inputs[0]), elements(node.inputs[1])
    if wanted is None:
        return None
    keeps_zero = integer(node, "allowzero", 0) == 1
    found: list[Size] = []
    for axis, size in enumerate(wanted):
        if size == 0 and not keeps_zero and given is not None and axis < len(given):
            found.append(given[axis])
        elif size in (0, -1, None):
            found.append((value.name or "", axis))
        else:
            found.append(size)
    if -1 in wanted and given is not None:
        axis = wanted.index(-1)
        rest = _quotient(given, [size for index, size in enumerate(found) if index != axis])
        found[axis] = rest if rest is not None else found[axis]
    return tuple(found)


def _quotient(whole: Sequence[Size], parts: Sequence[Size]) -> Size | None:
    """What the parts lack to the whole: a number, or one size."""
    left = list(whole)
    divisor = 1
    for part in parts:
        if part in left:
            left.remove(part)
        elif isinstance(part, int):
            divisor *= part
        else:
            return None
    numbers = [size for size in left if isinstance(size, int)]
    names = [size for size in left if not isinstance(size, int)]
    product = int(np.prod(numbers, dtype=np.int64))
    if divisor == 0 or product % divisor:
        return None
    if not names:
        return product // divisor
    return names[0] if len(names) == 1 and product == divisor else None


def elements(value: ir.Value | None) -> list[Size | None] | None:
    """What stands in a one-dimensional integer value (a shape), as far as it is known."""
    array = constant(value)
    if array is not None:
        return [int(number) for number in array.reshape(-1)] if array.ndim <= 1 else None
    node = value.producer() if value is not None else None
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    reader = _READERS.get(node.op_type)
    return None if reader is None else reader(node)


def _of_shape(node: ir.Node) -> list[Size | None] | None:
    given = sizes(node.inputs[0]) if node.inputs[0] is not None else None
    if given is None:
        return None
    end = node.attributes.get("end")
    return list(given[integer(node, "start", 0) : None if end is None else end.as_int()])


def _of_concat(node: ir.Node) -> list[Size | None] | None:
    parts = [elements(part) for part in node.inputs]
    joined: list[Size | None] = []
    for part in parts:
        if part is None:
            return None
        joined.extend(part)
    return joined


def _of_slice(node: ir.Node) -> list[Size | None] | None:
    whole = elements(node.inputs[0])
    start, end = scalar(node.inputs[1]), scalar(node.inputs[2])
    step = scalar(node.inputs[4]) if len(node.inputs) > 4 else 1.0
    if whole is None or start is None or end is None or step != 1:
        return None
    return whole[int(start) : int(end)]


def _of_gather(node: ir.Node) -> list[Size | None] | None:
    whole, index = elements(node.inputs[0]), constant(node.inputs[1])
    if whole is None or index is None or index.ndim > 1:
        return None
    places = [int(place) for place in index.reshape(-1)]
    fits = all(-len(whole) <= place < len(whole) for place in places)
    return [whole[place] for place in places] if fits else None


def _of_input(node: ir.Node) -> list[Size | None] | None:
    return elements(node.inputs[0])


_READERS = {
    "Shape": _of_shape,
    "Concat": _of_concat,
    "Slice": _of_slice,
    "Gather": _of_gather,
    "Squeeze": _of_input,
    "Unsqueeze": _of_input,
    "Cast": _of_input,
    "Identity": _of_input,
}
