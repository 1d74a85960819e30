"""Tensors as a spec declares them, and the one table of dtypes across numpy, torch, ONNX, Triton.

Formats: Triton's dtype names are those of the KServe v2 protocol (``FP32``), its model
configuration prefixes them with ``TYPE_`` and writes strings as ``TYPE_STRING``
(model_config.proto); ONNX's are the members of ``TensorProto.DataType``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BATCH = "batch"
"""The name of the axis along which Triton may join requests."""


@dataclass(frozen=True)
class DType:
    """One element type under the name that every library gives it."""

    name: str
    """As written in a spec; numpy's and torch's name where they have one."""
    onnx: str
    """Member of ``onnx.TensorProto.DataType``."""
    triton: str
    """KServe v2 name, as in requests and model metadata."""
    itemsize: int
    """Bytes per element; 0 for strings."""

    @property
    def config(self) -> str:
        """Name of the enum member in Triton's model_config.proto."""
        return "TYPE_STRING" if self.triton == "BYTES" else f"TYPE_{self.triton}"

    @property
    def numpy(self) -> np.dtype[Any]:
        """Numpy's dtype; strings are object arrays.

        Raises:
            TypeError: bfloat16, which numpy does not have.
        """
        import numpy as np

        if self.name == "bfloat16":
            raise TypeError("numpy has no bfloat16; declare float32 or float16 instead")
        return np.dtype(object) if self.name == "string" else np.dtype(self.name)

    @property
    def is_float(self) -> bool:
        """True for the floating types, which are compared with a tolerance."""
        return "float" in self.name

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers."""
        return "int" in self.name


DTYPES: dict[str, DType] = {
    row.name: row
    for row in (
        DType("bool", "BOOL", "BOOL", 1),
        DType("uint8", "UINT8", "UINT8", 1),
        DType("uint16", "UINT16", "UINT16", 2),
        DType("uint32", "UINT32", "UINT32", 4),
        DType("uint64", "UINT64", "UINT64", 8),
        DType("int8", "INT8", "INT8", 1),
        DType("int16", "INT16", "INT16", 2),
        DType("int32", "INT32", "INT32", 4),
        DType("int64", "INT64", "INT64", 8),
        DType("float16", "FLOAT16", "FP16", 2),
        DType("bfloat16", "BFLOAT16", "BF16", 2),
        DType("float32", "FLOAT", "FP32", 4),
        DType("float64", "DOUBLE", "FP64", 8),
        DType("string", "STRING", "BYTES", 0),
    )
}
"""The one dtype table. Every other spelling is derived from a row of it."""

_BY_ONNX = {row.onnx: row for row in DTYPES.values()}
_BY_TRITON = {row.triton: row for row in DTYPES.values()}


def dtype_from_numpy(dtype: npt.DTypeLike) -> DType:
    """The row for a numpy dtype; ``object``, ``str`` and ``bytes`` arrays are strings.

    Raises:
        KeyError: a dtype that Triton cannot carry (complex, datetime, void, ...).
    """
    import numpy as np

    kind = np.dtype(dtype)
    return DTYPES["string"] if kind.kind in "OUS" else DTYPES[kind.name]


def dtype_from_onnx(name: str) -> DType:
    """The row for a ``TensorProto.DataType`` member's name; KeyError where Triton has none."""
    return _BY_ONNX[name]


def dtype_from_triton(name: str) -> DType:
    """The row for ``FP32``, ``BYTES``, ``TYPE_FP32`` or ``TYPE_STRING``; KeyError otherwise."""
    bare = name.removeprefix("TYPE_")
    return _BY_TRITON["BYTES" if bare == "STRING" else bare]


Dim = int | str
"""A fixed size, or the name of an axis whose size varies."""

_DECLARATION = re.compile(r"^\s*([A-Za-z0-9_]+)\s*\[([^\]]*)\]\s*$")
_AXIS_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor: dtype and shape, the batch axis (if any) included.

    ``TensorSpec("ids", DTYPES["int64"], ("batch", "seq"))`` is what a spec writes as
    ``ids: int64[batch, seq]``.
    """

    name: str
    dtype: DType
    shape: tuple[Dim, ...]
    range: tuple[float, float] | None = None
    """Lowest and highest value that random samples may take; None where nothing is known."""
    optional: bool = False
    """An input that a request may leave out."""

    @classmethod
    def parse(cls, name: str, declaration: str) -> TensorSpec:
        """Read ``dtype[dim, dim, ...]``.

        Raises:
            ValueError: not of that form; the message says what to write.
        """
        match = _DECLARATION.match(declaration)
        if not match:
            raise ValueError(
                f"{declaration!r} is no tensor; write dtype[dims], e.g. float32[batch, 3, 224, 224]"
            )
        dtype_name, dims_text = match.groups()
        if dtype_name not in DTYPES:
            raise ValueError(f"unknown dtype {dtype_name!r}; one of {', '.join(DTYPES)}")
        return cls(name, DTYPES[dtype_name], tuple(_dims(declaration, dims_text)))

    @property
    def declaration(self) -> str:
        """``dtype[dims]`` as it stands in a spec."""
        return f"{self.dtype.name}[{', '.join(str(dim) for dim in self.shape)}]"

    @property
    def is_batched(self) -> bool:
        """True where the first axis is the batch axis."""
        return bool(self.shape) and self.shape[0] == BATCH

    @property
    def item_shape(self) -> tuple[Dim, ...]:
        """The shape of one item: without the batch axis, if there is one."""
        return self.shape[1:] if self.is_batched else self.shape

    @property
    def axes(self) -> dict[int, str]:
        """Position -> name of every axis whose size varies."""
        return {axis: dim for axis, dim in enumerate(self.shape) if isinstance(dim, str)}

    def sized(self, sizes: dict[str, int]) -> tuple[int, ...]:
        """The concrete shape at the given axis sizes; KeyError for an axis without one."""
        return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in self.shape)

    def mismatch(self, shape: Sequence[int], *, item: bool = False) -> str:
        """Why an array of that shape is not this tensor; empty where it fits.

        Args:
            shape: the array's shape.
            item: compare with one item, without the batch axis.
        """
        expected = self.item_shape if item else self.shape
        shown = "[" + ", ".join(str(dim) for dim in expected) + "]"
        if len(shape) != len(expected):
            return f"has shape {list(shape)}, expected {shown} ({len(expected)} axes)"
        for axis, (dim, size) in enumerate(zip(expected, shape, strict=True)):
            if isinstance(dim, int) and dim != size:
                return f"has shape {list(shape)}, expected {shown} (axis {axis} is {dim})"
        return ""


def _dims(declaration: str, text: str) -> Iterator[Dim]:
    for part in (piece.strip() for piece in text.split(",")) if text.strip() else ():
        if part.isdigit() and int(part) > 0:
            yield int(part)
        elif _AXIS_NAME.match(part):
            yield part
        else:
            raise ValueError(
                f"{part!r} in {declaration!r} is no size; "
                "write a positive number, or a name for an axis that varies"
            )


def is_batched(tensors: Sequence[TensorSpec]) -> bool:
    """True where every tensor has the batch axis first, so that Triton may join requests."""
    return bool(tensors) and all(tensor.is_batched for tensor in tensors)
