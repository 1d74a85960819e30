"""An inference goes in, its bytes on the wire come out; and the answer's bytes as arrays.

Requests of one model that have the same shapes differ in nothing but their tensors' contents, and
so do their answers: what comes before the contents is encoded, and decoded, once and remembered.
That rests on protobuf's wire format (https://protobuf.dev/programming-guides/encoding/): messages
that are joined are merged, and each field of these two is a tag, a length and so many bytes. An
answer that is not laid out that way is left to protobuf.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from nosclient._call import Call, Tensor
from nosclient._error_map import translate
from nosclient._grpc_messages import described, has_options, options, raw, read_answer
from nosclient._model_info import numpy_dtype

_INPUT = service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2
_OUTPUT = service_pb2.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | 2
_ENCODED = frozenset({"BYTES", "BF16"})
"""Datatypes whose bytes on the wire are not those in memory."""
_MOST_LAYOUTS = 512
"""Of one connection; beyond it all are forgotten."""


class Layouts:
    """Those that one connection has seen; safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[Any, Layout] = {}

    def of(self, call: Call) -> Layout:
        """The call's, which it shares with those of the same shapes."""
        key = [call.model, call.version, None if call.outputs is None else tuple(call.outputs)]
        is_shared = not call.places  # regions of shared memory differ from call to call
        for name, datatype, array, place in call.tensors:
            key += name, datatype, array.shape
            is_shared = is_shared and place is None
        if not is_shared:
            return Layout(call)
        shared = tuple(key)
        layout = self._known.get(shared)
        if layout is None:
            if len(self._known) >= _MOST_LAYOUTS:
                self._known.clear()
            layout = self._known[shared] = Layout(call)
        return layout


class _Output(NamedTuple):
    """One tensor of an answer, and where it stands there."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    before: bytes
    """What comes before its content: for the first, the answer's beginning."""
    start: int
    end: int


class Layout:
    """A request but for its contents and options, and the answer to it as it came last."""

    __slots__ = ("_head", "_outputs")

    def __init__(self, call: Call) -> None:
        self._head: bytes = described(call).SerializeToString()
        self._outputs: Sequence[_Output] = ()

    def message(self, call: Call, url: str) -> bytes:
        """The call's ModelInferRequest.

        Raises:
            InvalidInput: a parameter of a reserved name.
        """
        parts: list[Any] = [self._head]
        if has_options(call):
            parts.append(options(call, url).SerializeToString())
        for tensor in call.tensors:
            if tensor.place is None:
                size, content = _content(tensor)
                parts += _lengthed(_INPUT, size), content
        return b"".join(parts)

    def answer(self, response: bytes, call: Call, url: str) -> dict[str, npt.NDArray[Any]]:
        """Name -> array of every output of a ModelInferResponse, as ``read_answer`` gives them.

        Raises:
            NosClientError: it is none.
        """
        known = self._outputs  # another thread may set it
        if known and len(response) == known[-1].end:
            found = {}
            for name, dtype, shape, before, start, end in known:
                if not response.startswith(before, start - len(before)):
                    break
                found[name] = np.ndarray(shape, dtype, response[start:end])  # a view, in one step
            else:
                return found
        try:
            message = service_pb2.ModelInferResponse.FromString(response)
            answer = read_answer(message, call.places)
        except (
            DecodeError,
            ValueError,
            TypeError,
            struct.error,
        ) as error:  # gRPC's own words, and its code
            told = InferenceServerException("Exception deserializing response!", "INTERNAL")
            raise translate(told, call, url) from error
        if not call.places:
            self._outputs = _laid_out(response, message)
        return answer


def _laid_out(response: bytes, message: Any) -> Sequence[_Output]:
    """Where the outputs stand in a response; nothing where that is not to be foretold."""
    sizes = [len(content) for content in message.raw_output_contents]
    message.ClearField("raw_output_contents")
    before: bytes = message.SerializeToString()
    if not response.startswith(before):
        return ()
    found, end = [], 0
    for output, size in zip(message.outputs, sizes, strict=True):
        if output.datatype in _ENCODED:
            return ()
        before += _lengthed(_OUTPUT, size)
        start = end + len(before)
        end = start + size
        dtype, shape = numpy_dtype(output.datatype), tuple(output.shape)
        found.append(_Output(output.name, dtype, shape, before, start, end))
        before = b""
    return found


def _content(tensor: Tensor) -> tuple[int, Any]:
    """Its bytes on the wire, and how many: the array itself, where they lie in memory so."""
    array = tensor.array
    if tensor.datatype in _ENCODED or not array.flags.c_contiguous:
        encoded = raw(tensor)
        return len(encoded), encoded
    return array.nbytes, array


def _lengthed(tag: int, size: int) -> bytes:
    """The beginning of a field."""
    if size < 128:
        return bytes((tag, size))
    found = [tag]
    while size >= 128:
        found.append(size & 127 | 128)
        size >>= 7
    found.append(size)
    return bytes(found)
