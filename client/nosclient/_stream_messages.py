"""A call goes in, the message of gRPC's ModelStreamInfer comes out; its answer, a chunk."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.utils import (
    TRITON_RESERVED_REQUEST_PARAMS,
    TRITON_RESERVED_REQUEST_PARAMS_PREFIX,
    InferenceServerException,
    serialize_byte_tensor,
)

from nosclient._call import Call, Chunk, Tensor
from nosclient._codec import read_outputs
from nosclient._error_map import translate
from nosclient._errors import NosClientError

_LAST = "triton_final_response"
_TELL_LAST = "triton_enable_empty_final_response"


def request_message(call: Call, url: str) -> Any:
    """The protocol's ModelInferRequest.

    Raises:
        InvalidInput: a parameter of a reserved name, or of a type that the protocol lacks.
    """
    message = service_pb2.ModelInferRequest(
        model_name=call.model, model_version=call.version, id=call.request_id
    )
    for tensor in call.tensors:
        shape = tensor.array.shape
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        message.raw_input_contents.append(raw(tensor))
    for name in call.outputs or ():
        message.outputs.add(name=name)
    for name, value in call.parameters.items():
        if name in TRITON_RESERVED_REQUEST_PARAMS or name.startswith(
            TRITON_RESERVED_REQUEST_PARAMS_PREFIX
        ):
            reason = f'Parameter "{name}" is a reserved parameter and cannot be specified.'
            raise translate(InferenceServerException(reason), call, url)
        _set(message.parameters[name], name, value, call, url)
    if call.priority:
        message.parameters["priority"].uint64_param = call.priority
    message.parameters[_TELL_LAST].bool_param = True
    return message


def read_chunk(response: Any) -> Chunk:
    """What a ModelStreamInferResponse holds."""
    inferred = response.infer_response
    parameters = inferred.parameters
    return Chunk(
        inferred.id,
        {} if response.error_message else read_outputs(InferResult(inferred)),
        sum(len(content) for content in inferred.raw_output_contents),
        response.error_message,
        parameters[_LAST].bool_param if _LAST in parameters else None,
    )


def translated(error: grpc.RpcError, call: Call, url: str) -> NosClientError:
    """Our error for the one that ended a stream."""
    named = InferenceServerException(msg=str(error.details()), status=str(error.code()))
    return translate(named, call, url)


def _set(parameter: Any, name: str, value: Any, call: Call, url: str) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    elif isinstance(value, str):
        parameter.string_param = value
    else:
        reason = f'The parameter datatype "{type(value)}" for key "{name}" is not supported.'
        raise translate(InferenceServerException(reason), call, url)


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
