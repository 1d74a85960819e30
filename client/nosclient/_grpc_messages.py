"""A call goes in, a message of Triton's gRPC protocol comes out; and an answer as numpy.

tritonclient's own classes do the same with a copy and a loop more for each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import (
    InferenceServerException,
    deserialize_bytes_tensor,
    serialize_byte_tensor,
)

from nosclient._call import Call, Chunk, Tensor
from nosclient._error_map import translate
from nosclient._errors import NosClientError
from nosclient._model_info import numpy_dtype
from nosclient._shared_pool import Place

_RESERVED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers"}
    | {"binary_data_output"}
)
"""Parameters that mean something to Triton itself, as tritonclient's later releases list them."""
_LAST = "triton_final_response"
_TELL_LAST = "triton_enable_empty_final_response"
_REGION = "shared_memory_region"


def request_message(call: Call, url: str) -> Any:
    """The protocol's ModelInferRequest.

    Raises:
        InvalidInput: a parameter of a reserved name.
    """
    message = described(call)
    message.MergeFrom(options(call, url))
    for tensor in call.tensors:
        if tensor.place is None:
            message.raw_input_contents.append(raw(tensor))
    return message


def described(call: Call) -> Any:
    """The request but for the contents of its tensors and its options."""
    message = service_pb2.ModelInferRequest(model_name=call.model, model_version=call.version)
    for tensor in call.tensors:
        shape = tensor.array.shape
        added = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        if tensor.place is not None:
            _set_place(added, tensor.place)
    for name in call.outputs or ():
        added = message.outputs.add(name=name)
        if (place := call.places.get(name)) is not None:
            _set_place(added, place)
    return message


def has_options(call: Call) -> bool:
    """Whether ``options`` of the call holds anything."""
    return bool(
        call.timeout
        or call.parameters
        or call.request_id
        or call.priority
        or call.sequence is not None
        or call.method != "infer"
    )


def options(call: Call, url: str) -> Any:
    """A ModelInferRequest of the request's id and parameters alone.

    Raises:
        InvalidInput: a parameter of a reserved name.
    """
    message = service_pb2.ModelInferRequest(id=call.request_id)
    for name, value in call.parameters.items():
        if name in _RESERVED or name.startswith("triton_"):
            reason = f'Parameter "{name}" is a reserved parameter and cannot be specified.'
            raise translate(InferenceServerException(reason), call, url)
        _set(message.parameters[name], value)
    if call.priority:
        message.parameters["priority"].uint64_param = call.priority
    if (timeout := call.queue_timeout_us) is not None:
        message.parameters["timeout"].int64_param = timeout
    if call.sequence is not None:
        message.parameters["sequence_id"].int64_param = call.sequence.id
        message.parameters["sequence_start"].bool_param = call.sequence.start
        message.parameters["sequence_end"].bool_param = call.sequence.end
    if call.method == "stream_infer":
        message.parameters[_TELL_LAST].bool_param = True
    return message


def read_answer(
    response: Any, places: Mapping[str, Place] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Name -> array of every output of a ModelInferResponse.

    Arrays are views: of the response, hence read-only, or of ``places``, where the server wrote
    those outputs.
    """
    found = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        shape = tuple(output.shape)
        if not raw and places and (place := places.get(output.name)) is not None:
            found[output.name] = place.view(numpy_dtype(output.datatype), shape)
        else:
            found[output.name] = _array(output.datatype, raw, shape)
    return found


def read_chunk(response: Any) -> Chunk:
    """What a ModelStreamInferResponse holds."""
    inferred = response.infer_response
    parameters = inferred.parameters
    return Chunk(
        inferred.id,
        {} if response.error_message else read_answer(inferred),
        sum(len(content) for content in inferred.raw_output_contents),
        response.error_message,
        parameters[_LAST].bool_param if _LAST in parameters else None,
    )


def translated(error: grpc.RpcError, call: Call, url: str) -> NosClientError:
    """Our error for gRPC's."""
    named = InferenceServerException(msg=str(error.details()), status=str(error.code()))
    return translate(named, call, url)


def _set_place(tensor: Any, place: Place) -> None:
    tensor.parameters[_REGION].string_param = place.lease.region.name
    tensor.parameters["shared_memory_offset"].int64_param = place.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = place.size


def _array(datatype: str, raw: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if datatype == "BYTES":
        strings: npt.NDArray[Any] = deserialize_bytes_tensor(raw)
        return strings.reshape(shape)
    dtype = numpy_dtype(datatype)
    if len(raw) != math.prod(shape) * (2 if datatype == "BF16" else dtype.itemsize):
        raise ValueError(f"{len(raw)} bytes are no {datatype}{list(shape)}")
    if datatype == "BF16" and dtype == np.float32:
        halves = np.frombuffer(raw, "<u2").astype("<u4")  # see raw
        return (halves << 16).view(np.float32).reshape(shape)
    array: npt.NDArray[Any] = np.ndarray(shape, dtype, raw)  # a view, in one step
    return array


def _set(parameter: Any, value: str | int | float | bool) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def raw(tensor: Tensor) -> bytes:
    """A tensor's bytes as gRPC carries them."""
    if tensor.array.size == 0:
        return b""
    if tensor.datatype == "BYTES":
        return bytes(serialize_byte_tensor(tensor.array).item())
    if tensor.datatype == "BF16" and tensor.array.dtype == np.float32:
        # The stand-in of older releases of tritonclient, which cut off the lower half as well.
        return (np.ascontiguousarray(tensor.array).view("<u4") >> 16).astype("<u2").tobytes()
    return tensor.array.tobytes()
