"""A call goes in; a procedure of Triton's gRPC service and its message come out; and its answer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from nosclient._call import Call
from nosclient._grpc_failures import unreadable
from nosclient._grpc_messages import read_answer, request_message


class Procedure(NamedTuple):
    """One procedure of GRPCInferenceService."""

    name: str
    message: Callable[[Call], Any]
    answer: Callable[[Any], Any]


def request(call: Call, url: str) -> tuple[str, Any]:
    """The procedure's name, and the message to send.

    Raises:
        InvalidInput: a parameter of a reserved name.
    """
    if call.method == "infer":
        return "ModelInfer", request_message(call, url)
    procedure = _PROCEDURES[call.method]
    return procedure.name, procedure.message(call)


def answer(call: Call, response: Any, url: str) -> Any:
    """What the response says: arrays for ``infer``, a bool, or the message as plain data.

    Raises:
        ServerError: it is no message of Triton's.
    """
    if response is None:  # gRPC's word for none, and its asyncio's for one that cannot be read
        raise unreadable(call, url, "no message that can be read")
    if call.method != "infer":
        return _PROCEDURES[call.method].answer(response)
    try:
        return read_answer(response, call.places)
    except (ValueError, TypeError, struct.error, InferenceServerException) as error:
        raise unreadable(call, url, str(error)) from error


def _plain(response: Any) -> Any:
    return MessageToDict(response, preserving_proto_field_name=True)


def _nothing(response: Any) -> None:
    return None


def _one_model(message: Any) -> Callable[[Call], Any]:
    return lambda call: message(name=call.model, version=call.version)


def _region(call: Call) -> Any:
    assert call.region is not None, "the call is about a region"
    return call.region


_PROCEDURES = {
    "is_server_live": Procedure(
        "ServerLive", lambda _: service_pb2.ServerLiveRequest(), lambda found: found.live
    ),
    "is_server_ready": Procedure(
        "ServerReady", lambda _: service_pb2.ServerReadyRequest(), lambda found: found.ready
    ),
    "is_model_ready": Procedure(
        "ModelReady", _one_model(service_pb2.ModelReadyRequest), lambda found: found.ready
    ),
    "get_server_metadata": Procedure(
        "ServerMetadata", lambda _: service_pb2.ServerMetadataRequest(), _plain
    ),
    "get_model_metadata": Procedure(
        "ModelMetadata", _one_model(service_pb2.ModelMetadataRequest), _plain
    ),
    "get_model_config": Procedure(
        "ModelConfig", _one_model(service_pb2.ModelConfigRequest), _plain
    ),
    "get_inference_statistics": Procedure(
        "ModelStatistics", _one_model(service_pb2.ModelStatisticsRequest), _plain
    ),
    "get_model_repository_index": Procedure(
        "RepositoryIndex", lambda _: service_pb2.RepositoryIndexRequest(), _plain
    ),
    "load_model": Procedure(
        "RepositoryModelLoad",
        lambda call: service_pb2.RepositoryModelLoadRequest(model_name=call.model),
        _nothing,
    ),
    "unload_model": Procedure(
        "RepositoryModelUnload",
        lambda call: service_pb2.RepositoryModelUnloadRequest(model_name=call.model),
        _nothing,
    ),
    "get_system_shared_memory_status": Procedure(
        "SystemSharedMemoryStatus", lambda _: service_pb2.SystemSharedMemoryStatusRequest(), _plain
    ),
    "register_system_shared_memory": Procedure(
        "SystemSharedMemoryRegister",
        lambda call: service_pb2.SystemSharedMemoryRegisterRequest(
            name=_region(call).name, key=_region(call).key, byte_size=_region(call).size
        ),
        _nothing,
    ),
    "unregister_system_shared_memory": Procedure(
        "SystemSharedMemoryUnregister",
        lambda call: service_pb2.SystemSharedMemoryUnregisterRequest(name=_region(call).name),
        _nothing,
    ),
}
