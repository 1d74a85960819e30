"""An ONNX file goes in; its IR version and opsets come out, without its weights being read.

Format: onnx.proto's ModelProto, of which field 1 is ``ir_version`` and field 8 ``opset_import``;
the fields between, the graph among them, are skipped (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nosbuild.errors import RepositoryError

_IR_VERSION, _OPSET_IMPORT = 1, 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxHeader:
    """What an ONNX Runtime must know to load a file."""

    ir_version: int
    opset: int
    """Of ai.onnx, the operators that every file uses; 0 where it names none."""


def read_onnx_header(path: Path) -> OnnxHeader:
    """Read it.

    Raises:
        RepositoryError: no such file, or no ONNX file.
    """
    from onnx import OperatorSetIdProto

    ir_version = opset = 0
    try:
        with path.open("rb") as file:
            for field, value in _fields(file, path.stat().st_size):
                if field == _IR_VERSION and isinstance(value, int):
                    ir_version = value
                elif field == _OPSET_IMPORT and isinstance(value, bytes):
                    named = OperatorSetIdProto.FromString(value)
                    if named.domain in ("", "ai.onnx"):
                        opset = named.version
    except (OSError, ValueError, EOFError) as error:
        raise RepositoryError(f"{path} is no ONNX file that can be read: {error}") from error
    return OnnxHeader(ir_version, opset)


def _fields(file: IO[bytes], size: int) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and opsets at the top of the message; what else there is is passed over."""
    while file.tell() < size:
        field, kind = divmod(_varint(file), 8)
        if kind == _VARINT:
            yield field, _varint(file)
        elif kind == _BYTES:
            length = _varint(file)
            if file.tell() + length > size:
                raise EOFError("it ends too early")
            if field == _OPSET_IMPORT:
                yield field, file.read(length)
            else:
                file.seek(length, 1)
        elif kind in (_FIXED64, _FIXED32):
            file.seek(8 if kind == _FIXED64 else 4, 1)
        else:
            raise ValueError("it is no protobuf message")


def _varint(file: IO[bytes]) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte:
            raise EOFError("it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("it is no protobuf message")
